"""Forward-backward over many texts at once, exact and scaled.

Words are rearranged by their place in the text, texts sorted by length: step t is one matrix product over all texts
that have a word t. Everything here is in that packed order unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.numerics.arrays import Floats
from model.spans.chain.tags import TagSet
from model.spans.chain.transitions import Transitions

TINY = 1e-30


class Packing:
    """How the words of texts of these lengths lie in packed order. `rows[i]` is the word that is packed as i; `before`:
    where the words lie that stand before those that are not the first of their text."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = np.asarray(lengths, np.int64)
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64)
        order = np.argsort(-self.lengths, kind="stable")
        order = order[self.lengths[order] > 0]
        self.texts = order
        longest = int(self.lengths.max(initial=0))
        sorted_lengths = self.lengths[order]
        self.counts = [int(count) for count in (sorted_lengths[None] > np.arange(longest)[:, None]).sum(1)]
        self.offsets = [0, *np.cumsum(self.counts, dtype=int).tolist()]
        begins = self.starts[order]
        steps = [begins[:count] + step for step, count in enumerate(self.counts)]
        self.rows = np.concatenate(steps) if steps else np.zeros(0, np.int64)
        earlier = [np.arange(count) + self.offsets[step] for step, count in enumerate(self.counts[1:])]
        self.before = np.concatenate(earlier) if earlier else np.zeros(0, np.int64)
        self.places = np.empty(len(self.rows), np.int64)
        self.places[self.rows] = np.arange(len(self.rows))

    @property
    def firsts(self) -> NDArray[np.int64]:
        """The first word of every text that has one (not packed)."""
        return self.starts[self.lengths > 0]

    @property
    def lasts(self) -> NDArray[np.int64]:
        """The last word of every text that has one (not packed)."""
        return (self.starts + self.lengths - 1)[self.lengths > 0]


@dataclass(frozen=True)
class Potentials:
    """Log-scores of transitions [K, K], of beginning [K] and of ending [K] with a tag."""

    transitions: Floats
    begin: Floats
    end: Floats


@dataclass(frozen=True)
class Lattice:
    """What forward-backward found, in packed order: scaled emissions, forward and backward values, the scale of each
    word; factors of transitions. `ahead` is the backward value with the word's own emission and scale."""

    log_z: Floats  # of each text that has words, by `Packing.texts`
    emissions: Floats
    forward: Floats
    backward: Floats
    ahead: Floats
    scales: Floats
    transitions: Transitions
    packing: Packing

    def posteriors(self) -> Floats:
        """Probability of each tag of each word, packed."""
        return self.forward * self.backward

    def pairs(self, weights: Floats | None = None) -> Floats:
        """Expected number of each transition [K, K]; `weights`: of the words, packed."""
        left = self.forward[self.packing.before]
        if weights is not None:
            left = left * weights[self.packing.before, None]
        return self.transitions.expected(left, self.ahead[len(self.forward) - len(left) :])


def forward_backward(emissions: Floats, packing: Packing, potentials: Potentials, tags: TagSet) -> Lattice:
    """Of log-scores [words, K] in the order of the texts."""
    kind = emissions.dtype
    packed = emissions[packing.rows]
    top = packed.max(1, keepdims=True)
    scaled = np.exp(packed - top)
    factors = Transitions(np.where(tags.allowed, np.exp(potentials.transitions), 0).astype(kind), tags)
    begin = np.where(tags.starts, np.exp(potentials.begin), 0).astype(kind)
    end = np.exp(potentials.end).astype(kind)
    forward, backward, ahead = (np.empty_like(scaled) for _ in range(3))
    scales = np.empty(len(scaled), kind)
    counts, offsets = packing.counts, packing.offsets
    for step, count in enumerate(counts):
        here = slice(offsets[step], offsets[step + 1])
        into = begin if step == 0 else factors.ahead(forward[offsets[step - 1] : offsets[step - 1] + count])
        values = into * scaled[here]
        total = np.maximum(values.sum(1), TINY)
        forward[here] = values / total[:, None]
        scales[here] = total
    logs = np.log(scales, dtype=np.float64) + top[:, 0]
    log_z = np.zeros(len(packing.texts))
    for step in range(len(counts) - 1, -1, -1):
        count, first = counts[step], offsets[step]
        further = counts[step + 1] if step + 1 < len(counts) else 0
        last = slice(first + further, first + count)
        total = np.maximum(forward[last] @ end, TINY)
        backward[last] = end / total[:, None]
        log_z[further:count] += np.log(total, dtype=np.float64)
        if further:
            behind = ahead[offsets[step + 1] : offsets[step + 1] + further]
            backward[first : first + further] = factors.back(behind)
        here = slice(first, first + count)
        ahead[here] = scaled[here] * backward[here] / scales[here, None]
        log_z[:count] += logs[here]
    return Lattice(log_z, scaled, forward, backward, ahead, scales, factors, packing)
