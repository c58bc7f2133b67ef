"""Dense columns and hand features of regions as rows of a few hundred directions, with the way back to coefficients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.head.feature_space import EXACT_ROWS, SPACE_DIMENSIONS, choose_landmarks, leading_eigenvectors
from model.numerics.arrays import Floats, SparseRows

LANDMARKS = 600
"""Rows whose Gram matrix is made (Nyström)."""


class RegionSpace:
    """`rows` [n, r] have (nearly) the inner products that the features have."""

    def __init__(self, dense: NDArray[np.float32], hand: SparseRows, targets: Floats) -> None:
        chosen = choose_landmarks(targets, 0, LANDMARKS)
        self._dense = dense if chosen is None else dense[chosen]
        self._hand = hand if chosen is None else hand[chosen]
        gram = self._dense @ self._dense.T + self._hand.dot(self._hand.T).toarray()
        values, vectors = _decompose(gram)
        keep = values > 1e-6 * max(float(values.max(initial=0)), 1e-12)
        values, vectors = values[keep][:SPACE_DIMENSIONS], vectors[:, keep][:, :SPACE_DIMENSIONS]
        self._back: Floats = vectors / np.sqrt(values)
        if chosen is None:
            self.rows: Floats = vectors * np.sqrt(values)
        else:
            self.rows = dense @ (self._dense.T @ self._back) + np.asarray(hand @ (self._hand.T @ self._back))

    def primal(self, coefficients: Floats) -> tuple[Floats, Floats]:
        """Coefficients [r, K] as those of the dense columns and of the hand features."""
        dual = self._back @ coefficients
        return self._dense.T @ dual, np.asarray(self._hand.T @ dual)


def _decompose(gram: Floats) -> tuple[Floats, Floats]:
    if len(gram) <= EXACT_ROWS:
        values, vectors = np.linalg.eigh(gram.astype(np.float64))
        return values[::-1], vectors[:, ::-1]
    return leading_eigenvectors(gram.astype(np.float32), SPACE_DIMENSIONS)
