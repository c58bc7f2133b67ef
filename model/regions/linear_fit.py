"""A logistic regression over features of regions: its strength and temperature by what texts held out say, and from
which probability its answers save clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from model.numerics.arrays import Floats, softmax_rows
from model.numerics.logistic import fit_blocks
from model.numerics.metrics import log_losses, log_losses_binary
from model.numerics.temperature import HUMBLE, HUMBLE_STRENGTH, apply_temperature, fit_temperature
from model.regions.region_space import RegionSpace

FOLDS = 5

STRENGTHS = (0.3, 1.0, 3.0, 10.0)
"""Variances of the coefficients' prior that are tried; of many cells the middle ones."""

SEARCH_CELLS = 1_000_000
"""Rows x directions x classes above which a search takes longer than half a second."""

LEAST_RIGHT = 3
"""Held-out answers that have to be right before any are shown."""

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Probabilities from which answers are shown, tried in this order."""

NEVER = 2.0
"""A threshold that no probability reaches."""


@dataclass(frozen=True)
class FittedRows:
    """What is fitted: rows of the space, targets [n, K], weights [n], and the fold of each row."""

    space: RegionSpace
    targets: Floats
    weights: Floats
    folds: NDArray[np.int64]
    several: bool = False

    @property
    def is_large(self) -> bool:
        """Whether a search takes long."""
        return self.space.rows.size * self.targets.shape[1] > SEARCH_CELLS

    @property
    def can_hold_out(self) -> bool:
        """Whether they are of several texts."""
        return int(self.folds.max()) > 0

    def coefficients(self, strength: float) -> tuple[Floats, Floats, Floats]:
        """Of the dense columns, the hand features, and intercepts, by all rows."""
        found, intercepts = self._fit(self.weights[None], strength)
        dense, hand = self.space.primal(found[0])
        return dense, hand, intercepts[0]

    def search(
        self, strengths: Sequence[float] = STRENGTHS, few: Sequence[float] = STRENGTHS[1:3]
    ) -> tuple[float, float, Floats]:
        """(strength, temperature, probabilities [n, K] of rows by fits on the other folds). `few`: what is tried where
        a search takes long."""
        tried = [(self._held_out(strength), strength) for strength in (few if self.is_large else strengths)]
        raw, strength = min(tried, key=lambda one: self._loss(one[0]))
        temperature = fit_temperature(
            raw, self.targets, prior_strength=HUMBLE_STRENGTH, centre=HUMBLE, multilabel=self.several
        )
        return strength, temperature, apply_temperature(raw, temperature, multilabel=self.several)

    def _fit(self, weights: Floats, strength: float) -> tuple[Floats, Floats]:
        """Coefficients and intercepts of as many problems as `weights` [B, n] has rows."""
        offsets = np.zeros((len(weights), *self.targets.shape))
        return fit_blocks(self.space.rows, self.targets, weights, offsets, strength, multilabel=self.several)

    def _held_out(self, strength: float) -> Floats:
        kept = np.array([self.weights * (self.folds != fold) for fold in range(self.folds.max() + 1)])
        coefficients, intercepts = self._fit(kept, strength)
        logits = intercepts[self.folds]
        for fold in range(len(kept)):
            own = self.folds == fold
            logits[own] += self.space.rows[own] @ coefficients[fold]
        return expit(logits) if self.several else softmax_rows(logits)

    def _loss(self, probabilities: Floats) -> float:
        losses = (log_losses_binary if self.several else log_losses)(probabilities, self.targets)
        return float((losses * self.weights).sum() / self.weights.sum())


def least_clicks(scores: Floats, right: NDArray[np.bool_]) -> float:
    """The least threshold from which answers surely save clicks: a right one saves one, a wrong one costs one."""
    for threshold in THRESHOLDS:
        shown = scores >= threshold
        hits, count = int(right[shown].sum()), int(shown.sum())
        if hits >= LEAST_RIGHT and 2 * hits - count >= count**0.5:  # one standard error above nothing gained
            return threshold
    return NEVER
