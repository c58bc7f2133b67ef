"""One step of a chain over many texts: from the tags of a word to those of the next one, and back.

A word that goes on with a label follows only a word of that label. So of many labels' transitions half are zeros, which
are left out.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from model.numerics.arrays import Floats
from model.spans.chain.tags import MANY_TAGS, TagSet


class Transitions:
    """Factors [K, K] of one tag (row) before another, 0 where that is not allowed."""

    def __init__(self, factors: Floats, tags: TagSet) -> None:
        self.factors = factors
        self._sparse = tags.size >= MANY_TAGS

    @cached_property
    def _back(self) -> Floats:
        return np.ascontiguousarray(self._enter.T if self._sparse else self.factors.T)

    @cached_property
    def _enter(self) -> Floats:
        """Of any tag before the outside and before first words [K, 1 + labels]."""
        return _heads(self.factors)

    @cached_property
    def goes_on(self) -> Floats:
        """Of a label's first word before one that goes on."""
        return np.ascontiguousarray(np.diagonal(self.factors, offset=1)[1::2])

    @cached_property
    def stays(self) -> Floats:
        """Of a word that goes on before another."""
        return np.ascontiguousarray(np.diagonal(self.factors)[2::2])

    def ahead(self, rows: Floats) -> Floats:
        """Values of the words [n, K] carried to the next ones."""
        if not self._sparse:
            return np.asarray(rows @ self.factors)
        found = np.empty_like(rows)
        entered = rows @ self._enter
        found[:, 0], found[:, 1::2] = entered[:, 0], entered[:, 1:]
        found[:, 2::2] = rows[:, 1::2] * self.goes_on
        found[:, 2::2] += rows[:, 2::2] * self.stays
        return found

    def back(self, rows: Floats) -> Floats:
        """Values of the words [n, K] carried to the ones before."""
        if not self._sparse:
            return np.asarray(rows @ self._back)
        found = _heads(rows) @ self._back
        found[:, 1::2] += rows[:, 2::2] * self.goes_on
        found[:, 2::2] += rows[:, 2::2] * self.stays
        return np.asarray(found)

    def expected(self, left: Floats, ahead: Floats) -> Floats:
        """How often each transition is expected [K, K], from values of words and of those behind them."""
        if not self._sparse:
            return np.asarray((left.T @ ahead) * self.factors)
        counts = np.zeros_like(self.factors)
        entered = left.T @ _heads(ahead)
        counts[:, 0], counts[:, 1::2] = entered[:, 0], entered[:, 1:]
        first, further = np.arange(1, len(counts), 2), np.arange(2, len(counts), 2)
        counts[first, further] = (left[:, 1::2] * ahead[:, 2::2]).sum(0)
        counts[further, further] = (left[:, 2::2] * ahead[:, 2::2]).sum(0)
        return np.asarray(counts * self.factors)


def _heads(columns: Floats) -> Floats:
    """The columns of the outside and of first words, side by side."""
    return np.concatenate([columns[:, :1], columns[:, 1::2]], axis=1)
