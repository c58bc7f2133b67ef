"""Honest scores: span probabilities through a sigmoid that was fitted on spans held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from model.numerics.arrays import Floats
from model.spans.chain.span_probabilities import Candidate

STRENGTH = 8.0
"""Of the prior at identity, in spans."""

LEAST_SPANS = 30
"""Spans held out from which a sigmoid is fitted: with fewer it harmed as often as it helped."""

EDGE = 1e-4


@dataclass(frozen=True)
class SpanCalibration:
    """`sigmoid(slope * logit(p) + shift)`; as it stands, nothing changes."""

    slope: float = 1.0
    shift: float = 0.0

    def apply(self, probabilities: Floats) -> Floats:
        """Each of them, calibrated."""
        if (self.slope, self.shift) == (1.0, 0.0):
            return probabilities
        return np.asarray(expit(self.slope * logit(np.clip(probabilities, EDGE, 1 - EDGE)) + self.shift))

    def calibrate(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The same candidates with calibrated probabilities."""
        if not candidates:
            return []
        scores = self.apply(np.array([own.probability for own in candidates]))
        return [own._replace(probability=float(score)) for own, score in zip(candidates, scores, strict=True)]


def fit_calibration(probabilities: Sequence[float], right: Sequence[bool], least: int = LEAST_SPANS) -> SpanCalibration:
    """From spans held out and whether each was exactly right; identity for fewer than `least`."""
    if len(probabilities) < least:
        return SpanCalibration()
    odds = logit(np.clip(np.asarray(probabilities, float), EDGE, 1 - EDGE))
    truth = np.asarray(right, float)
    slope, shift = 1.0, 0.0
    for _ in range(50):
        found = expit(slope * odds + shift)
        spread = found * (1 - found) + 1e-6
        gradient = np.array(
            [((found - truth) * odds).sum() + STRENGTH * (slope - 1), (found - truth).sum() + STRENGTH / 4 * shift]
        )
        cross = (spread * odds).sum()
        curvature = np.array([[(spread * odds * odds).sum() + STRENGTH, cross], [cross, spread.sum() + STRENGTH / 4]])
        step = np.linalg.solve(curvature, gradient)
        slope, shift = slope - step[0], shift - step[1]
        if np.abs(step).max() < 1e-6:
            break
    return SpanCalibration(float(max(slope, 0.05)), float(shift))
