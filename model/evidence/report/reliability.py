"""Whether an answer that is told as nine in ten sure is right nine times in ten. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.evidence.learning_curve import CALIBRATION_BINS, wilson_interval
from model.numerics.metrics import expected_calibration_error


@dataclass(frozen=True)
class ReliabilityBin:
    """Answers with a confidence from `low` to `high`: how many, their mean confidence, the share that was right and its
    95 % interval."""

    low: float
    high: float
    n: int
    confidence: float
    right: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Reliability:
    """`n` answers; `error`: the mean distance of confidence and truth, over the bins by their size (biased upwards
    while n is small: 0.1 with 20 answers of a calibrated model); `bins`: those with an answer."""

    n: int
    error: float
    bins: list[ReliabilityBin]


def measure_reliability(confidences: Sequence[float], correct: Sequence[bool]) -> Reliability:
    """Of answers [n] in CALIBRATION_BINS equally wide bins."""
    score, hit = np.asarray(confidences, dtype=float), np.asarray(correct, dtype=bool)
    which = np.minimum((score * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    bins = []
    for index in np.unique(which):
        own = which == index
        count, share = int(own.sum()), float(hit[own].mean())
        low, high = wilson_interval(share, count)
        bins.append(
            ReliabilityBin(
                low=round(float(index) / CALIBRATION_BINS, 4),
                high=round(float(index + 1) / CALIBRATION_BINS, 4),
                n=count,
                confidence=round(float(score[own].mean()), 4),
                right=round(share, 4),
                interval=(round(low, 4), round(high, 4)),
            )
        )
    error = expected_calibration_error(score, hit, CALIBRATION_BINS)
    return Reliability(len(score), round(error, 4), bins)
