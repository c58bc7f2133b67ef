"""The coefficients of a head over features of regions, or of pairs of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model.numerics.arrays import SparseRows
from model.spans.features.feature_space import StateScale
from model.spans.features.hand_features import Codes


@dataclass(frozen=True)
class LinearWeights:
    """Coefficients of dense columns [D, K] and of `known` hand features [V, K], halved; intercepts [K]; `scale`: that
    of the dense columns."""

    scale: StateScale = field(repr=False)
    known: Codes = field(repr=False)
    dense: NDArray[np.float16] = field(repr=False)
    hand: NDArray[np.float16] = field(repr=False)
    intercepts: NDArray[np.float32] = field(repr=False)

    def logits(self, dense: NDArray[np.float32], hand: SparseRows) -> NDArray[np.float32]:
        """[n, K] of rows with these features; `hand`: of the known ones."""
        found: NDArray[np.float32] = dense @ self.dense.astype(np.float32)
        if len(self.known):
            found += np.asarray(hand @ self.hand.astype(np.float32))
        return found + self.intercepts

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """Arrays by name."""
        arrays: dict[str, NDArray[np.generic]] = {
            "scale.mean": self.scale.mean,
            "scale.spread": self.scale.spread,
            "known": self.known,
            "dense": self.dense,
            "hand": self.hand,
            "intercepts": self.intercepts,
        }
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def restore_weights(tensors: Mapping[str, NDArray[np.generic]]) -> LinearWeights | None:
    """What `tensors()` gave; None of no arrays. Raises KeyError."""
    if not tensors:
        return None
    mean, spread = (tensors[f"scale.{part}"].astype(np.float32, copy=False) for part in ("mean", "spread"))
    return LinearWeights(
        StateScale(mean, spread),
        tensors["known"].astype(np.uint64, copy=False),
        tensors["dense"].astype(np.float16, copy=False),
        tensors["hand"].astype(np.float16, copy=False),
        tensors["intercepts"].astype(np.float32, copy=False),
    )
