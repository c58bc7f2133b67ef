"""From which probability on a label belongs to the set: one threshold for all labels, or one for each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.decoding.answer_rules import AnswerRules
from model.numerics.arrays import Floats

GRID = np.round(np.arange(0.1, 0.71, 0.02), 2)

PSEUDO_POSITIVES = 5.0
"""Positives that the shared threshold is worth against a label's own (goemotions, 64 to 512 labels: macro-F1 at or
near its best for 5, micro-F1 up to 11 points above none at all)."""


def choose_labels(probabilities: Floats, thresholds: Floats | float, nonempty: bool) -> NDArray[np.bool_]:
    """Which labels of each row [n, K] belong to its set: those over the threshold; with `nonempty` at least the best.

    Where annotators leave no set empty, an answer that does is surely wrong: goemotions, 256 labels, exact match
    .36 -> .41, micro-F1 .53 -> .55."""
    chosen = np.asarray(probabilities >= thresholds)
    if nonempty and probabilities.shape[1]:
        chosen[np.arange(len(chosen)), probabilities.argmax(1)] = True
    return chosen


def fit_threshold(probabilities: Floats, targets: Floats, nonempty: bool = False) -> float:
    """The one threshold with the best micro-F1 on out-of-fold probabilities and targets [n, K]; of equals the lowest,
    or the middle one where sets may be empty: then a text unlike all labelled ones is more likely to have no label.

    .5 costs 9 to 21 points of micro-F1 with few labels."""
    if not (targets >= 0.5).any():
        return 0.5  # every threshold has the same F1, none; the lowest would choose what was never right
    counts = _f1_counts(probabilities, targets >= 0.5, nonempty).sum(-1)
    scores = _f1(counts)
    best = np.flatnonzero(scores >= scores.max())
    return float(GRID[best[0] if nonempty else best[len(best) // 2]])


def fit_label_thresholds(probabilities: Floats, targets: Floats, shared: float, nonempty: bool = False) -> Floats:
    """One threshold per label [K] for macro-F1: each label's best, drawn to `shared` the fewer positives it has.

    A label without positives takes `shared`."""
    true = targets >= 0.5
    best = GRID[np.argmax(_f1(_f1_counts(probabilities, true, nonempty)), axis=0)]
    positives = true.sum(0)
    return np.asarray((positives * best + PSEUDO_POSITIVES * shared) / (positives + PSEUDO_POSITIVES))


def thresholds_of(rules: AnswerRules, keys: Sequence[str]) -> Floats:
    """The threshold of each label in `keys` [K]."""
    return np.array([rules.thresholds.get(key, rules.threshold) for key in keys], dtype=float)


def _f1_counts(probabilities: Floats, true: NDArray[np.bool_], nonempty: bool) -> Floats:
    """[3, grid, K]: right, wrongly chosen and missed labels at each threshold."""
    chosen = np.stack([choose_labels(probabilities, threshold, nonempty) for threshold in GRID])
    right = (chosen & true).sum(1)
    return np.stack([right, chosen.sum(1) - right, true.sum(0) - right]).astype(float)


def _f1(counts: Floats) -> Floats:
    right, wrong, missed = counts
    return np.asarray(2 * right / np.maximum(2 * right + wrong + missed, 1))
