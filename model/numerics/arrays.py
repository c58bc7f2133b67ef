"""Arrays of floats, and the two operations on their rows that every model part needs."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


class SparseRows(Protocol):
    """scipy's csr_matrix, which has no types of its own, as far as it is used."""

    data: Floats
    indices: NDArray[np.int32]
    indptr: NDArray[np.int32]

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def T(self) -> SparseRows: ...

    def __matmul__(self, dense: Floats, /) -> Floats: ...

    def __getitem__(self, rows: NDArray[np.int64], /) -> SparseRows: ...

    def tocsr(self) -> SparseRows: ...

    def dot(self, other: SparseRows, /) -> SparseRows: ...

    def toarray(self) -> Floats: ...


def normalise(vectors: Floats) -> Floats:
    """Rows at unit length; zero rows stay zero."""
    # What np.linalg.norm gives, in less time; einsum's last bits would depend on how many rows there are.
    lengths = np.sqrt(np.square(vectors).sum(-1, keepdims=True))
    return vectors / np.maximum(lengths, 1e-12)


def softmax_rows(logits: Floats) -> Floats:
    """Softmax over the last axis (scipy's is several times slower on small arrays)."""
    shifted = logits - logits.max(-1, keepdims=True)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(-1, keepdims=True)
    return shifted
