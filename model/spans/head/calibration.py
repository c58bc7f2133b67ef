"""Honest scores: span probabilities through a sigmoid that was fitted on spans held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from scipy.special import expit, logit

from model.numerics.arrays import Floats
from model.spans.chain.span_probabilities import Candidate

STRENGTH = 16.0
"""How many spans the expectation counts for from which a fit starts."""

LEAST_SPANS = 30
"""Spans held out from which a sigmoid is fitted: with fewer it harmed as often as it helped."""

EDGE = 1e-4


class CalibrationJson(TypedDict):
    """SpanCalibration in JSON."""

    slope: float
    shift: float


@dataclass(frozen=True)
class SpanCalibration:
    """`sigmoid(slope * logit(p) + shift)`; as it stands, nothing changes."""

    slope: float = 1.0
    shift: float = 0.0

    def to_json(self) -> CalibrationJson:
        """By name."""
        return {"slope": self.slope, "shift": self.shift}

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


HUMBLE = SpanCalibration(0.8, -0.3)
"""What is expected of a chain with a prior, which is over-confident on every set with 8 to 32 texts (by .05 to .17 on
average): this halves the calibration error there before anything can be fitted. Without a prior: as it stands."""


def fit_calibration(
    probabilities: Sequence[float], right: Sequence[bool], expected: SpanCalibration | None = None
) -> SpanCalibration:
    """From spans held out and whether each was exactly right; what is expected for fewer than LEAST_SPANS."""
    expected = expected or SpanCalibration()
    if len(probabilities) < LEAST_SPANS:
        return expected
    odds = logit(np.clip(np.asarray(probabilities, float), EDGE, 1 - EDGE))
    truth = np.asarray(right, float)
    point = centre = np.array([expected.slope, expected.shift])
    strengths = np.array([STRENGTH, STRENGTH / 4])
    columns = np.stack([odds, np.ones_like(odds)])
    for _ in range(50):
        found = expit(point @ columns)
        gradient = columns @ (found - truth) + strengths * (point - centre)
        curvature = (columns * (found * (1 - found) + 1e-6)) @ columns.T + np.diag(strengths)
        step = np.linalg.solve(curvature, gradient)
        point = point - step
        if np.abs(step).max() < 1e-6:
            break
    return SpanCalibration(float(max(point[0], 0.05)), float(point[1]))
