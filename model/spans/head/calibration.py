"""Honest scores: span probabilities through a sigmoid that was fitted on spans held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from scipy.special import expit, logit

from model.numerics.arrays import Floats
from model.spans.chain.span_probabilities import Candidate

STRENGTH = 32.0
"""How many spans the expectation counts for from which a fit starts."""

LEAST_SPANS = 30
"""Spans held out from which a sigmoid is fitted: with fewer it harmed as often as it helped."""

EDGE = 1e-4

FITTED_FROM = 0.3
"""Probability from which spans take part in a fit. Below it a sigmoid that is flat above would make something of
nothing: what is less likely is as much less likely afterwards."""


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

    def sigmoid(self, probabilities: Floats) -> Floats:
        """Each of them, calibrated, over the whole range."""
        if (self.slope, self.shift) == (1.0, 0.0):
            return probabilities
        return np.asarray(expit(self.slope * logit(np.clip(probabilities, EDGE, 1 - EDGE)) + self.shift))

    def apply(self, probabilities: Floats) -> Floats:
        """Probabilities of spans, calibrated; those below FITTED_FROM in proportion."""
        return self.sigmoid(np.maximum(probabilities, FITTED_FROM)) * np.minimum(probabilities / FITTED_FROM, 1)

    def calibrate(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The same candidates with calibrated probabilities."""
        rows = zip(candidates, self.apply_all(candidates), strict=True)
        return [own._replace(probability=score) for own, score in rows]

    def apply_all(self, candidates: Sequence[Candidate]) -> list[float]:
        """The calibrated probability of each."""
        found: list[float] = self.apply(np.array([own.probability for own in candidates], float)).tolist()
        return found


HUMBLE = SpanCalibration(0.8, -0.3)
"""What is expected of a chain with a prior, which is over-confident on every set with 8 to 32 texts (by .05 to .17 on
average): this halves the calibration error there before anything can be fitted. Without a prior: as it stands."""

HONEST_SHARE, TIMID_SHARE, TIMID_SHIFT = 0.3, 0.5, 0.15
"""Share of the prior alone in a span's probability from which that is honest as it stands; and from which it says a
little less than is true: the chain has then seen too few spans to speak up."""


def humble(share: float) -> SpanCalibration:
    """What is expected of a chain whose probabilities the prior alone shares so far."""
    proud = max(0.0, 1 - share / HONEST_SHARE)
    timid = float(np.clip((share - HONEST_SHARE) / (TIMID_SHARE - HONEST_SHARE), 0, 1))
    return SpanCalibration(1 + proud * (HUMBLE.slope - 1), proud * HUMBLE.shift + timid * TIMID_SHIFT)


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
