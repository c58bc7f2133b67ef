"""Hand features that stand at the same words are one column while a chain is fitted.

Most features of few texts are: all that only one word says. With the same penalty for each, their weights stay equal,
so that one column of root(size) in their place gives the same chain, step by step, for a fraction of the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.numerics.arrays import Floats, SparseRows


@dataclass(frozen=True)
class EqualColumns:
    """`groups` [S]: the place of each column among the merged ones; `roots`: of how many each of those stands for."""

    groups: NDArray[np.int64]
    roots: NDArray[np.float32]

    def merge(self, weights: Floats) -> Floats:
        """Weights [S, K] as those of the merged columns, of the same scores at the words seen."""
        merged = np.zeros((len(self.roots), weights.shape[1]), weights.dtype)
        np.add.at(merged, self.groups, weights)
        return np.asarray(merged / self.roots[:, None])

    def spread(self, merged: Floats) -> Floats:
        """Weights of merged columns as those of all columns."""
        return np.asarray((merged / self.roots[:, None])[self.groups])


def merge_columns(sparse: SparseRows) -> tuple[SparseRows, EqualColumns]:
    """A sparse matrix of zeros and ones (CSR, float32) with equal columns merged."""
    by_column = sparse.T.tocsr()
    codes = np.random.default_rng(0).integers(1, 1 << 63, sparse.shape[0] + 1, np.uint64)
    # A sum of random numbers, one for each word where a column stands, tells columns apart: modulo 2^64, in any order.
    totals = np.concatenate([np.zeros(1, np.uint64), np.cumsum(codes[by_column.indices])])
    marks = totals[by_column.indptr[1:]] - totals[by_column.indptr[:-1]]
    _, firsts, groups, counts = np.unique(marks, return_index=True, return_inverse=True, return_counts=True)
    roots = np.sqrt(counts).astype(np.float32)
    kept = by_column[firsts]
    kept.data = np.repeat(roots, np.diff(kept.indptr)).astype(kept.data.dtype)
    return kept.T.tocsr(), EqualColumns(groups.reshape(-1), roots)
