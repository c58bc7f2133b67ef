"""What the order of fine-tunes is asked about a project that waits, read from the stores."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from backend.record_json import JobRecord
from backend.rules.finetune_facts import gather_facts
from backend.rules.training.order import Waiting
from backend.store.stores import Stores

if TYPE_CHECKING:
    from model.evidence.gate import VerdictJson

NEWEST_ROWS = 20
"""Labels that were answered before they were learned, from which their log-loss is taken."""


def gather_waiting(stores: Stores, record: JobRecord) -> Waiting:
    """Of a training that is queued. Raises StoreUnavailable."""
    project = int(record["project"])
    kinds = [gather_facts(stores, project, pinned=False, marked=marked) for marked in (False, True)]
    facts = max(kinds, key=lambda found: found.labels)
    last = stores.versions.evaluated(project)
    return Waiting(
        job=record["id"],
        waited=max(0.0, time.time() - float(record.get("asked_at") or time.time())),
        asked=bool(record.get("force")) or not str(record.get("by", "")).startswith("policy"),
        labels=facts.labels,
        trained=facts.trained_labels or 0,
        refusals=facts.refusals,
        loss=find_loss(stores.evidence.tallies(project)),
        share=last.get("share"),
        rows=int(last.get("rows", 0)),
    )


def find_loss(tallies: Mapping[str, float]) -> float | None:
    """Log-loss of the newest labels, at least NEWEST_ROWS, before they were learned, of the control with the most; for
    marked text what F1 lacks. None while there are too few."""
    sums: dict[str, dict[int, dict[str, float]]] = {}
    for key, value in tallies.items():
        control, stage, what = json.loads(key)
        sums.setdefault(control, {}).setdefault(int(stage), {})[what] = value
    most = max(sums.values(), key=lambda stages: sum(own.get("n", 0.0) for own in stages.values()), default={})
    seen: dict[str, float] = {}
    for stage in sorted(most, reverse=True):
        for what, value in most[stage].items():
            seen[what] = seen.get(what, 0.0) + value
        if seen.get("n", 0.0) >= NEWEST_ROWS:
            return _loss_of_newest(seen)
    return None


def _loss_of_newest(seen: Mapping[str, float]) -> float:
    if spans := seen.get("found", 0.0) + seen.get("wanted", 0.0):
        return 1 - min(1.0, 2 * seen.get("hits", 0.0) / spans)
    return max(0.0, seen.get("log_loss", 0.0)) / seen["n"]


def find_gain(gate: Mapping[str, VerdictJson]) -> tuple[int, float]:
    """(rows held out, share of the champion's log-loss that the challenger took away; for marked text of what its F1
    lacks), over the controls that were compared; (0, 0) for none."""
    rows, gained = 0, 0.0
    for verdict in gate.values():
        evidence = verdict["evidence"]
        champion, challenger = _loss_of(evidence.get("champion", {})), _loss_of(evidence.get("challenger", {}))
        if champion and challenger is not None:
            rows += evidence.get("n", 0)
            gained += evidence.get("n", 0) * (1 - challenger / champion)
    return rows, round(gained / rows, 4) if rows else 0.0


def _loss_of(figures: Mapping[str, float]) -> float | None:
    if "log_loss" in figures:
        return figures["log_loss"]
    return 1 - figures["f1"] if "f1" in figures else None
