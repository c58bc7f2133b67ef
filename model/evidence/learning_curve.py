"""The learning curve of a project: how new labels were answered before they were learned, by the labels known then.

Pure. Rows are added up by stages of half a doubling, so that the curve of a million labels is a few hundred numbers.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NotRequired, TypedDict

from model.evidence.row import EvidenceRow

CALIBRATION_BINS = 15
"""Of the calibration error, as everywhere here."""

LEAST_STAGE_ROWS = 10
"""Rows of a point; stages with fewer join their neighbour."""


class CurvePoint(TypedDict):
    """A stage of the curve: `n` rows that were answered with about so many `labels` known."""

    labels: int
    n: int
    accuracy: float
    interval: list[float]
    confidence: float
    log_loss: float
    ece: float
    f1: NotRequired[float]
    saved: NotRequired[float]


def tally(rows: Iterable[EvidenceRow]) -> dict[str, float]:
    """Sums of evidence rows, keyed by JSON `[control, stage, what]`: to be added to those of earlier rows."""
    sums: Counter[str] = Counter()
    for row in rows:
        labels, confidence, correct = row.labels, row.confidence, float(row.correct)
        box = min(int(confidence * CALIBRATION_BINS), CALIBRATION_BINS - 1)
        facts = {
            "n": 1.0,
            "labels": labels,
            "correct": correct,
            "confidence": confidence,
            "log_loss": row.log_loss,
            f"gap{box}": confidence - correct,
        }
        if row.marked is not None:
            facts |= {
                "hits": sum(right for *_, right in row.marked.shown),
                "found": len(row.marked.shown),
                "wanted": len(row.marked.drawn),
                "edits": row.marked.edits,
            }
        stage = round(2 * math.log2(labels + 1))
        for what, value in facts.items():
            if value:
                sums[json.dumps([row.control, stage, what])] += value  # type: ignore[assignment]
    return dict(sums)


def learning_curve(tallies: Mapping[str, float]) -> dict[str, list[CurvePoint]]:
    """Control -> points by rising `labels` (their mean at prediction): n, accuracy with its 95 % interval, confidence,
    log_loss, ece (biased upwards while n is small: 0.1 with 20 rows of a calibrated model); where text is marked, f1
    and the share of clicks saved."""
    stages: dict[str, dict[int, Counter[str]]] = {}
    for key, value in tallies.items():
        control, stage, what = json.loads(key)
        stages.setdefault(control, {}).setdefault(stage, Counter())[what] += value  # type: ignore[assignment]
    return {control: [_point(sums) for sums in _merge(found)] for control, found in sorted(stages.items())}


def _merge(stages: Mapping[int, Counter[str]]) -> list[Counter[str]]:
    merged: list[Counter[str]] = []
    for stage in sorted(stages):
        if merged and merged[-1]["n"] < LEAST_STAGE_ROWS:
            _add(merged[-1], stages[stage])
        else:
            merged.append(Counter(stages[stage]))
    if len(merged) > 1 and merged[-1]["n"] < LEAST_STAGE_ROWS:
        _add(merged[-2], merged.pop())
    return merged


def _add(sums: Counter[str], more: Counter[str]) -> None:
    for what, value in more.items():  # Counter's own + drops what is negative
        sums[what] += value


def _point(sums: Counter[str]) -> CurvePoint:
    n = sums["n"]
    accuracy = sums["correct"] / n
    gaps = sum(abs(value) for what, value in sums.items() if what.startswith("gap"))
    point: CurvePoint = {
        "labels": round(sums["labels"] / n),
        "n": int(n),
        "accuracy": round(accuracy, 4),
        "interval": [round(x, 4) for x in wilson_interval(accuracy, n)],
        "confidence": round(sums["confidence"] / n, 4),
        "log_loss": round(sums["log_loss"] / n, 4),
        "ece": round(gaps / n, 4),
    }
    if sums["found"] + sums["wanted"]:
        point["f1"] = round(2 * sums["hits"] / (sums["found"] + sums["wanted"]), 4)
    if sums["wanted"]:
        point["saved"] = round(1 - sums["edits"] / sums["wanted"], 4)
    return point


def wilson_interval(share: float, n: float, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share of n (Wilson 1927): holds with few rows, too."""
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
