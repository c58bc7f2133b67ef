"""What the labels that came in say about the version that answered them, and what follows for the next one.

Decisions are those of `model/evidence/recalibration.py` (confidence) and `model/evidence/gate.py` (is the fine-tune
worth it after all?).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from backend.store.versions import Evaluated
from model.spec import TaskSpec

if TYPE_CHECKING:
    from model.evidence.row import EvidenceRow
    from model.head.linear_head import LinearHead
    from model.versions.finetuned import FineTuned
    from model.versions.live_model import LiveModel

log = logging.getLogger(__name__)

RECENT_ROWS = 600
"""Rows read at a refit: 200 for each of three controls."""


@dataclass(frozen=True)
class Hindsight:
    """`temperatures`: control -> the correction of the next version. `withdrawn`: control -> why its fine-tune is."""

    temperatures: Mapping[str, float] = field(default_factory=dict)
    withdrawn: Mapping[str, str] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """Why the next version goes without a fine-tune that the last one had; "" when it does not."""
        return "; ".join(f"{name}: fine-tune withdrawn, {why}" for name, why in self.withdrawn.items())

    def correct(self, heads: Mapping[str, LinearHead]) -> dict[str, LinearHead]:
        """The heads with the corrections in their configs."""
        return {
            name: replace(head, details=replace(head.details, served_temperature=self.temperatures[name]))
            if name in self.temperatures
            else head
            for name, head in heads.items()
        }

    def withdraw(self, finetuned: FineTuned | None) -> FineTuned | None:
        """The fine-tuned part without the withdrawn controls; None when nothing of it is left."""
        if finetuned is None or not self.withdrawn:
            return finetuned
        parts = {n: replace(p, weight=0.0) if n in self.withdrawn else p for n, p in finetuned.heads.items()}
        return replace(finetuned, heads=parts) if any(part.weight > 0 for part in parts.values()) else None


def retrospect(
    spec: TaskSpec,
    rows: Sequence[EvidenceRow],
    champion: LiveModel | None,
    labels: Mapping[str, int],
    seed: int = 0,
    evaluated: Evaluated | None = None,
) -> Hindsight:
    """What rows of evidence, oldest first, say for the version that follows `champion`, with so many `labels`.

    `evaluated`: the facts of the last training, which may have outdone an older fine-tune."""
    from model.evidence.recalibration import choose_rows, decide_correction, read_rows

    withdrawn = _withdrawn(rows, champion, seed) | _outdone(champion, evaluated or {}) if champion is not None else {}
    temperatures = {}
    for control in spec.controls:
        if control.multilabel:
            continue  # their threshold would have to move along
        blended = control.name in _shares(champion) and control.name not in withdrawn
        found = read_rows(choose_rows(rows, control.name, labels.get(control.name, 0), blended))
        correction = decide_correction(found, seed)
        if correction.temperature != 1.0:
            temperatures[control.name] = correction.temperature
            log.info(
                "correction control=%s temperature=%s: %s", control.name, correction.temperature, correction.reason
            )
    return Hindsight(temperatures, withdrawn)


def _withdrawn(rows: Sequence[EvidenceRow], champion: LiveModel, seed: int) -> dict[str, str]:
    from model.evidence.gate import decide_withdrawal

    owner = champion.manifest.finetuned if champion.manifest else None
    found = {}
    for name in _shares(champion):
        mine = [row for row in rows if row.control == name and row.tuned == owner]
        pairs = [(row.log_loss, row.alone.judged.log_loss) for row in mine if row.alone is not None]
        verdict = decide_withdrawal([served for served, _ in pairs], [alone for _, alone in pairs], seed=seed)
        if not verdict.accepted:
            found[name] = f"{owner} is {verdict.reason}"
    return found


def _outdone(champion: LiveModel, evaluated: Evaluated) -> dict[str, str]:
    """Fine-tunes on fewer labels than the last training, which the head alone was better than."""
    parts = champion.finetuned.heads if champion.finetuned is not None else {}
    count = int(evaluated.get("labels", 0))
    why = f"one on {count} labels was worse than the head alone"
    older = [name for name in _shares(champion) if 0 < parts[name].trained_on < count]
    return {name: why for name in older if name in evaluated.get("outdone", ())}


def _shares(champion: LiveModel | None) -> list[str]:
    """Controls that the fine-tuned encoder has a share in."""
    heads = champion.finetuned.heads if champion is not None and champion.finetuned is not None else {}
    return [name for name, part in heads.items() if part.weight > 0]
