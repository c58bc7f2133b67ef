"""How suggested spans fared against what annotators drew: from rows of evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from model.evidence.row import EvidenceRow
from model.numerics.metrics import expected_calibration_error


class LabelFigures(TypedDict):
    """Of one label: exact characters and label; `n` spans that were drawn."""

    f1: float
    precision: float
    recall: float
    n: int


class MarkedFigures(TypedDict):
    """Over all labels. `saved`: the share of an annotator's clicks that the suggestions spared, negative where they
    cost some; `ece`: how far the scores of shown spans are off."""

    f1: float
    precision: float
    recall: float
    saved: float
    ece: float
    labels: dict[str, LabelFigures]


def summarise_marks(rows: Sequence[EvidenceRow]) -> MarkedFigures | None:
    """Of the rows of a control that marks text; None where there are none, or nothing was drawn or shown."""
    marked = [row.marked for row in rows if row.marked is not None]
    shown = [one for own in marked for one in own.shown]
    drawn = Counter(label for own in marked for label in own.drawn)
    if not shown and not drawn:
        return None
    found, hits = Counter(label for label, *_ in shown), Counter(label for label, _, right in shown if right)
    whole = _figures(sum(hits.values()), len(shown), sum(drawn.values()))
    scores, right = np.array([score for _, score, _ in shown]), np.array([ok for *_, ok in shown], dtype=bool)
    return {
        "f1": whole["f1"],
        "precision": whole["precision"],
        "recall": whole["recall"],
        "saved": round(1 - sum(own.edits for own in marked) / max(1, sum(drawn.values())), 4),
        "ece": round(expected_calibration_error(scores, right), 4),
        "labels": {label: _figures(hits[label], found[label], drawn[label]) for label in sorted({*found, *drawn})},
    }


def _figures(hits: int, found: int, drawn: int) -> LabelFigures:
    return {
        "f1": round(2 * hits / (found + drawn), 4) if found + drawn else 0.0,
        "precision": round(hits / found, 4) if found else 0.0,
        "recall": round(hits / drawn, 4) if drawn else 0.0,
        "n": drawn,
    }
