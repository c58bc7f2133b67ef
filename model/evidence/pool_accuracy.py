"""The accuracy of the live version on unlabelled tasks, estimated from the labelled ones.

Which tasks get labelled is the queue's choice (uncertain ones first) or the annotator's, so accuracy on them is not
that on the rest. Pure numpy. Assumption: at the same confidence, labelled and unlabelled tasks are answered equally
well, that is, the choice depends on a text only through its confidence; and the confidence of the versions that
answered the labelled ones meant what today's means (so the first versions are left out,
backend/application/learning_curve.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from model.numerics.arrays import Floats

CONFIDENCE_BINS = 50
"""Of the pool's confidences, equally wide."""

QUANTILE_POINTS = 201

LEAST_ROWS = 30
GROUP_ROWS = 10
"""Rows of a group of neighbouring bins, and at most CONFIDENCE_GROUPS groups."""
CONFIDENCE_GROUPS = 10
RESAMPLES = 1000


class PoolSummary(TypedDict, total=False):
    """The confidences of a pool: number, mean, histogram of CONFIDENCE_BINS, quantiles (earlier releases kept none). Of
    marked text also the F1 that is expected, and the confidences of the texts in which spans are shown."""

    n: int
    mean: float
    counts: list[int]
    quantiles: list[float]
    f1: float
    shown: list[float]


class PoolEstimate(TypedDict):
    """The accuracy to be expected on a pool, its 95 % interval, and how much better the labelled stream looks."""

    accuracy: float
    interval: list[float]
    confidence: float
    bias: float
    labelled: int
    unlabelled: int


def summarise_pool(confidences: Floats) -> PoolSummary:
    """What is kept of the pool's confidences [n]: number, mean, histogram, and QUANTILE_POINTS even quantiles."""
    counts = np.bincount(_bin(confidences), minlength=CONFIDENCE_BINS)
    mean = float(confidences.mean()) if len(confidences) else 0.0
    places = np.linspace(0, 1, QUANTILE_POINTS)
    spread = np.quantile(confidences, places).round(4).tolist() if len(confidences) else []
    return {"n": len(confidences), "mean": round(mean, 5), "counts": counts.tolist(), "quantiles": spread}


def pool_confidences(pool: PoolSummary) -> Floats:
    """The `n` confidences that a summary stands for, ascending; of an earlier release's, the middles of its bins."""
    count = int(pool.get("n") or 0)
    if pool.get("quantiles"):
        spread = np.asarray(pool["quantiles"], dtype=float)
        return np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(spread)), spread)
    return np.repeat(
        (np.arange(CONFIDENCE_BINS) + 0.5) / CONFIDENCE_BINS,
        np.asarray(pool.get("counts") or [0] * CONFIDENCE_BINS, dtype=int),
    )


def estimate_accuracy(
    confidences: Sequence[float], correct: Sequence[bool], pool: PoolSummary, seed: int = 0
) -> PoolEstimate | None:
    """accuracy on the pool with its 95 % bootstrap interval, and bias: how much better the labelled stream looks.

    Post-stratified difference estimator (Särndal, Swensson, Wretman 1992): the pool's mean confidence, less what the
    labelled tasks' confidence exceeds their correctness by, group by group of confidence, weighted by the pool's share
    of each group. None with fewer than LEAST_ROWS labelled tasks or an empty pool.
    """
    if len(confidences) < LEAST_ROWS or not pool.get("n"):
        return None
    score, hit = np.asarray(confidences, dtype=float), np.asarray(correct, dtype=float)
    group, shares = _groups(_bin(score), np.array(pool["counts"], dtype=float))
    gap = score - hit
    generator = np.random.default_rng(seed)
    offset, draws = 0.0, np.zeros(RESAMPLES)
    for index, share in enumerate(shares):
        rows = np.flatnonzero(group == index)
        offset += share * gap[rows].mean()
        # Two made-up rows, one right and one wrong, weighted by how sure the model is: ten right of ten are no proof.
        sure = score[rows].mean()
        seen = np.concatenate([gap[rows], [sure - 1, sure]])
        p = np.concatenate([np.ones(len(rows)), [sure, 1 - sure]]) / (len(rows) + 1)
        draws += share * generator.choice(seen, (RESAMPLES, len(rows) + 1), p=p).mean(1)
    mean = float(pool["mean"])
    low, high = np.percentile(mean - draws, [2.5, 97.5])
    accuracy = float(np.clip(mean - offset, 0, 1))
    return {
        "accuracy": round(accuracy, 4),
        "interval": [round(float(np.clip(x, 0, 1)), 4) for x in (low, high)],
        "confidence": round(mean, 4),
        "bias": round(float(hit.mean()) - accuracy, 4),
        "labelled": len(score),
        "unlabelled": int(pool["n"]),
    }


def _bin(confidences: Floats) -> NDArray[np.int64]:
    return np.clip((np.asarray(confidences, dtype=float) * CONFIDENCE_BINS).astype(np.int64), 0, CONFIDENCE_BINS - 1)


def _groups(bins: NDArray[np.int64], pool: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The group of each labelled row, and the pool's share of each group: neighbouring bins with enough rows each."""
    least = max(GROUP_ROWS, int(np.ceil(len(bins) / CONFIDENCE_GROUPS)))
    rows = np.bincount(bins, minlength=CONFIDENCE_BINS)
    ends, waiting = [], 0
    for index in range(CONFIDENCE_BINS):
        waiting += rows[index]
        if waiting >= least and rows[index + 1 :].sum() >= least:
            ends.append(index)
            waiting = 0
    group_of_bin = np.searchsorted(np.array(ends, dtype=np.int64), np.arange(CONFIDENCE_BINS), side="left")
    shares = np.bincount(group_of_bin, weights=pool, minlength=len(ends) + 1)
    return group_of_bin[bins], shares / shares.sum()
