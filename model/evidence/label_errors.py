"""Labels that are probably wrong: out-of-fold answers against the labels that were given. Pure.

Rows are ranked by the out-of-fold probability of the given label (cleanlab calls it self-confidence), which finds as
many errors as confident learning does, with half its false alarms (`python -m bench.label_errors`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from model.head.linear_head import OutOfFold
from model.numerics.arrays import Floats

WRONG, CHECK, SURE = 0.02, 0.1, 0.7
"""p(given) below WRONG: likely wrong. Below CHECK, with another label above SURE: check. With CHECK at .05 two classes
hardly get a flag: where one label in twenty is wrong, an honest model leaves every label about that much. Measured by
`python -m bench.label_errors`; without SURE many classes raise half as many false alarms again."""

SURE_SPAN = 0.95
"""Probability of another span, or of none, from which a span is likely wrong."""

LIKELY_WRONG, TO_CHECK = "likely wrong", "check"

TIED_SHARE = 0.75
"""Labels of a disputed task with this share of the heaviest one's count as given, too."""

SUSPECTS_KEPT = 1000
"""Most suspects of a control."""


@dataclass(frozen=True)
class LabelError:
    """A label that the model would have given differently. `flag` is LIKELY_WRONG, TO_CHECK or "".

    Sets: a label that is given but unlikely has no `suggested`; one that is missing has no `given`; the probabilities
    are those of what was said about this label, and of the opposite."""

    task: int
    given: str
    suggested: str
    p_given: float
    p_suggested: float
    flag: str


def find_suspects(
    labels: Sequence[str],
    answers: OutOfFold,
    *,
    multilabel: bool,
    sure: Collection[int] = (),
    limit: int = SUSPECTS_KEPT,
) -> list[LabelError]:
    """The rows for which another answer is likelier than the given one, most suspicious first.

    `sure` are the tasks with a ground truth: never suspected. A label without any other example is not, either: out of
    its fold the model has seen none."""
    find = _find_in_sets if multilabel else _find_in_rows
    skipped = frozenset(sure)
    found = [suspect for suspect in find(labels, answers) if suspect.task not in skipped]
    return sorted(found, key=lambda s: (s.p_given, s.task, s.given, s.suggested))[:limit]


def given_confidence(probabilities: Floats, targets: Floats) -> Floats:
    """Probability of the given label of each row [n], from [n, K]; of all that tie for the first place."""
    given = targets >= TIED_SHARE * targets.max(1, keepdims=True)
    return np.minimum(1.0, (probabilities * given).sum(1))


def flag_of(p_given: float, p_suggested: float) -> str:
    """How sure one can be that the label is wrong."""
    if p_given < WRONG:
        return LIKELY_WRONG
    return TO_CHECK if p_given < CHECK and p_suggested > SURE else ""


def flag_of_span(p_given: float, p_suggested: float) -> str:
    """The same of a span in a text: of those, a head is often unsure, and its own mistakes are the false alarms."""
    if p_given < WRONG and p_suggested > SURE_SPAN:
        return LIKELY_WRONG
    return TO_CHECK if p_given < CHECK and p_suggested > SURE else ""


def _find_in_rows(labels: Sequence[str], answers: OutOfFold) -> Iterator[LabelError]:
    probabilities, targets = answers.probabilities, answers.targets
    if len(targets) == 0 or len(labels) < 2:
        return
    given = targets.argmax(1)
    alone = np.bincount(given, minlength=len(labels)) < 2
    confidence = given_confidence(probabilities, targets)
    others = np.where(targets >= TIED_SHARE * targets.max(1, keepdims=True), -1.0, probabilities)
    best = others.argmax(1)
    for row in np.flatnonzero((others.max(1) > confidence) & ~alone[given]):
        p_given, p_best = float(confidence[row]), float(probabilities[row, best[row]])
        yield LabelError(
            answers.tasks[row], labels[given[row]], labels[best[row]], p_given, p_best, flag_of(p_given, p_best)
        )


def _find_in_sets(labels: Sequence[str], answers: OutOfFold) -> Iterator[LabelError]:
    probabilities, targets = answers.probabilities, answers.targets
    if len(targets) == 0:
        return
    share = targets.mean(0)
    said = targets >= 0.5
    disputed = np.abs(targets - 0.5) < 0.25
    confidence = np.where(said, probabilities, 1 - probabilities)
    # Of a rare label nearly everything is unlikely: below its share there is evidence against it.
    informed = np.where(said, probabilities < share, True) & ((said & ~disputed).sum(0) >= 2)
    for row, column in zip(*np.nonzero((confidence < 0.5) & informed & ~disputed), strict=True):
        p_given = float(confidence[row, column])
        given, suggested = (labels[column], "") if said[row, column] else ("", labels[column])
        yield LabelError(answers.tasks[row], given, suggested, p_given, 1 - p_given, flag_of(p_given, 1 - p_given))
