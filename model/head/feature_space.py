"""One joined feature space of encoder features and words, reduced to a few hundred directions, with the way back.

With more rows than LANDMARK_ROWS the directions are those of a subset of them (Nyström): the cost then grows linearly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.features.tfidf import Terms, dense_features
from model.numerics.arrays import Floats
from model.spec import Text

SPACE_DIMENSIONS = 384
"""Directions kept of the joined feature space (the eigenvectors of the Gram matrix)."""

EXACT_ROWS = 800
"""Up to here the Gram matrix is decomposed exactly; beyond, its leading directions are found by random projection."""

LANDMARK_ROWS = 1000
"""Most rows whose Gram matrix is made: 10,000 rows would need 400 MB and minutes."""

OVERSAMPLED_DIMENSIONS = 24


class Space:
    """Rows [n, r] of the reduced space of one view; `primal` gives coefficients back in the features' own terms."""

    def __init__(
        self,
        texts: Sequence[Text],
        pooled: Floats,
        mean: Floats,
        terms: Terms | None,
        view: str,
        landmarks: NDArray[np.int64] | None = None,
    ) -> None:
        dense: Floats = dense_features(pooled, mean, view)
        sparse = terms.transform(texts) if terms is not None else None
        self._dense = dense if landmarks is None else dense[landmarks]
        self._sparse = sparse if sparse is None or landmarks is None else sparse[landmarks]
        values, vectors = self._decompose()
        keep = values > 1e-6 * max(float(values.max(initial=0)), 1e-12)
        values, vectors = values[keep][:SPACE_DIMENSIONS], vectors[:, keep][:, :SPACE_DIMENSIONS]
        self._back = vectors / np.sqrt(values)
        if landmarks is None:
            self.rows: Floats = vectors * np.sqrt(values)
            return
        self.rows = dense @ (self._dense.T @ self._back).astype(np.float32)
        if sparse is not None and self._sparse is not None:
            self.rows = self.rows + np.asarray(sparse @ (self._sparse.T @ self._back))

    def _decompose(self) -> tuple[Floats, Floats]:
        """Eigenvalues (descending) and vectors [m, r] of the Gram matrix of the landmarks."""
        gram = self._dense @ self._dense.T
        if self._sparse is not None:
            gram = gram + self._sparse.dot(self._sparse.T).toarray()
        if len(gram) <= EXACT_ROWS:
            values, vectors = np.linalg.eigh(gram.astype(np.float64))
            return values[::-1], vectors[:, ::-1]
        return leading_eigenvectors(gram.astype(np.float32), SPACE_DIMENSIONS)

    def primal(self, coefficients: Floats) -> tuple[Floats, Floats | None]:
        """Coefficients [r, K] of the reduced space as coefficients of the dense and the word features."""
        dual = self._back @ coefficients
        words = None if self._sparse is None else np.asarray(self._sparse.T @ dual)
        return self._dense.T @ dual, words


def leading_eigenvectors(gram: Floats, count: int) -> tuple[Floats, Floats]:
    """The `count` largest eigenvalues (descending) and their vectors [n, count] of a Gram matrix [n, n].

    Randomised subspace iteration (Halko, Martinsson and Tropp 2011) with a fixed seed: at 1,000 rows a fifth of the
    time of the exact decomposition on one core."""
    generator = np.random.default_rng(0)
    basis = generator.standard_normal((len(gram), count + OVERSAMPLED_DIMENSIONS)).astype(gram.dtype)
    for _ in range(2):
        basis = np.linalg.qr(gram @ basis)[0]
    values, vectors = np.linalg.eigh(basis.T @ gram @ basis)
    return values[::-1][:count].astype(np.float64), (basis @ vectors[:, ::-1][:, :count]).astype(np.float64)


def choose_landmarks(targets: Floats, seed: int, count: int = LANDMARK_ROWS) -> NDArray[np.int64] | None:
    """At most `count` rows of `targets` [n, K], spread over the heaviest labels; None when all rows are few enough."""
    rows = len(targets)
    if rows <= count:
        return None
    order = np.random.default_rng(seed).permutation(rows)
    heaviest = targets[order].argmax(1)
    turn = np.zeros(rows, dtype=np.int64)  # how many rows of the same label stand before
    seen: dict[int, int] = {}
    for place, label in enumerate(heaviest.tolist()):
        turn[place] = seen[label] = seen.get(label, -1) + 1
    # Half by turns over the labels, for the rare ones; half as they come, for the weight of the frequent ones.
    even = order[np.argsort(turn, kind="stable")][: count // 2]
    rest = order[~np.isin(order, even)][: count - len(even)]
    return np.sort(np.concatenate([even, rest]))
