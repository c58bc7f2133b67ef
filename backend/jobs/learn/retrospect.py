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
    from model.evidence.gate import VerdictJson
    from model.evidence.row import EvidenceRow
    from model.head.linear_head import LinearHead
    from model.versions.finetuned import FineTuned
    from model.versions.live_model import LiveModel

GateJson = Mapping[str, "VerdictJson"]

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
        left = finetuned.without(self.withdrawn)
        return left if left.has_share else None


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


@dataclass(frozen=True)
class TunedGain:
    """What a fine-tune adds to the answers of the head beside it: how much lower the log-loss is, and points of
    accuracy (of marked text: of F1)."""

    log_loss: float = 0.0
    points: float = 0.0


def measure_tuned(rows: Sequence[EvidenceRow], champion: LiveModel, gate: GateJson, control: str) -> TunedGain:
    """By the labels that came since it was published, where they are enough; else by the verdict (`gate`) that it was
    published for. Nothing where it has no share, or has not been measured."""
    from model.evidence.gate import WITHDRAW_FROM

    if champion.manifest is None or control not in _shares(champion):
        return TunedGain()
    mine = [row for row in rows if row.control == control and row.tuned == champion.manifest.finetuned]
    pairs = [(row.judged, row.alone.judged) for row in mine if row.alone is not None]
    if len(pairs) >= WITHDRAW_FROM:
        losses = [head.log_loss - blend.log_loss for blend, head in pairs]
        right = [float(blend.correct) - float(head.correct) for blend, head in pairs]
        return TunedGain(sum(losses) / len(pairs), 100 * sum(right) / len(pairs))
    evidence = gate[control]["evidence"] if control in gate else {}
    before, after = evidence.get("champion", {}), evidence.get("challenger", {})
    measure = "f1" if "f1" in after else "accuracy"
    points = 100 * (after[measure] - before[measure]) if measure in before and measure in after else 0.0
    return TunedGain(-evidence.get("log_loss_change", 0.0), points)


def _withdrawn(rows: Sequence[EvidenceRow], champion: LiveModel, seed: int) -> dict[str, str]:
    from model.evidence.gate import decide_withdrawal

    owner = champion.manifest.finetuned if champion.manifest else None
    found = {}
    for name in _shares(champion):
        mine = [row for row in rows if row.control == name and row.tuned == owner]
        pairs = [(row.log_loss, row.alone.judged.log_loss) for row in mine if row.alone is not None]
        marked = [row.marked for row in mine if row.marked is not None]
        clicks = [(float(own.edits), float(own.edits_alone)) for own in marked if own.edits_alone is not None]
        served, alone = zip(*(clicks or pairs), strict=True) if clicks or pairs else ((), ())
        said = {"measure": "edits a text", "what": "texts"} if clicks else {}
        verdict = decide_withdrawal(served, alone, seed=seed, **said)
        if not verdict.accepted:
            found[name] = f"{owner} is {verdict.reason}"
    return found


def _outdone(champion: LiveModel, evaluated: Evaluated) -> dict[str, str]:
    """Fine-tunes on fewer labels than the last training, which the head alone was better than."""
    found: dict[str, str] = {}
    labels, texts = int(evaluated.get("labels", 0)), int(evaluated.get("texts", 0))
    for names, count, what in ((_learned(champion), labels, "labels"), (_marked(champion), texts, "texts")):
        why = f"one on {count} {what} was worse than the head alone"
        older = [name for name, trained_on in names.items() if 0 < trained_on < count]
        found |= {name: why for name in older if name in evaluated.get("outdone", ())}
    return found


def _shares(champion: LiveModel | None) -> list[str]:
    """Controls that the fine-tuned encoder has a share in."""
    return [*_learned(champion), *_marked(champion)] if champion is not None else []


def _learned(champion: LiveModel) -> dict[str, int]:
    """Those that choose, and on how many labels it was trained."""
    heads = champion.finetuned.heads if champion.finetuned is not None else {}
    return {name: part.trained_on for name, part in heads.items() if part.weight > 0}


def _marked(champion: LiveModel) -> dict[str, int]:
    """Those that mark text, and on how many texts it was trained."""
    marks = champion.finetuned.marks if champion.finetuned is not None else {}
    return {name: part.trained_on for name, part in marks.items() if part.weight > 0}
