"""How suggested spans fared against what annotators drew: from rows of evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NotRequired, TypedDict

import numpy as np

from model.evidence.learning_curve import wilson_interval
from model.evidence.row import About, EvidenceRow
from model.numerics.metrics import expected_calibration_error


class LabelFigures(TypedDict):
    """Of one label: exact characters and label; `n` spans that were drawn."""

    f1: float
    precision: float
    recall: float
    n: int


class AboutFigures(TypedDict):
    """Of a question about regions, or of relations: of the last `n` answers that people gave `accuracy` were the
    likeliest, with its 95 % interval; `shown` would have been suggested, `precision` of them right, with its own."""

    n: int
    accuracy: float
    interval: list[float]
    shown: int
    precision: NotRequired[float]
    precision_interval: NotRequired[list[float]]
    labels: dict[str, LabelFigures]


class MarkedFigures(TypedDict):
    """Over all labels. `saved`: the share of an annotator's clicks that the suggestions spared, negative where they
    cost some; `ece`: how far the scores of shown spans are off; `about`: by question about them, and of relations."""

    f1: float
    precision: float
    recall: float
    saved: float
    ece: float
    labels: dict[str, LabelFigures]
    about: NotRequired[dict[str, AboutFigures]]


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
    figures: MarkedFigures = {
        "f1": whole["f1"],
        "precision": whole["precision"],
        "recall": whole["recall"],
        "saved": round(1 - sum(own.edits for own in marked) / max(1, sum(drawn.values())), 4),
        "ece": round(expected_calibration_error(scores, right), 4),
        "labels": {label: _figures(hits[label], found[label], drawn[label]) for label in sorted({*found, *drawn})},
    }
    names = sorted({name for own in marked for name in own.about})
    if names:
        figures["about"] = {name: _about([own.about[name] for own in marked if name in own.about]) for name in names}
    return figures


def _about(rows: Sequence[About]) -> AboutFigures:
    count, right = sum(row.count for row in rows), sum(row.right for row in rows)
    shown, hits = sum(row.shown for row in rows), sum(row.hits for row in rows)
    labels: Counter[tuple[str, int]] = Counter()
    for row in rows:
        for label, counts in row.labels.items():
            labels.update({(label, at): one for at, one in enumerate(counts)})
    accuracy = right / max(1, count)
    figures: AboutFigures = {
        "n": count,
        "accuracy": round(accuracy, 4),
        "interval": [round(end, 4) for end in wilson_interval(accuracy, max(1, count))] if count else [0.0, 1.0],
        "shown": shown,
        "labels": {
            label: _figures(labels[label, 2], labels[label, 1], labels[label, 0])
            for label in sorted({label for label, _ in labels})
        },
    }
    if shown:
        figures["precision"] = round(hits / shown, 4)
        figures["precision_interval"] = [round(end, 4) for end in wilson_interval(hits / shown, shown)]
    return figures


def _figures(hits: int, found: int, drawn: int) -> LabelFigures:
    return {
        "f1": round(2 * hits / (found + drawn), 4) if found + drawn else 0.0,
        "precision": round(hits / found, 4) if found else 0.0,
        "recall": round(hits / drawn, 4) if drawn else 0.0,
        "n": drawn,
    }
