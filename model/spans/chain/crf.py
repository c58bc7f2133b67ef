"""The chain itself: weights, and how they are fitted.

Log-scores of a word's tags = (dense features, again with weights of their own where a word is capitalised, and hand
features) times tied weights + bias + what the prior says times a learned trust. Transitions are each pair's own and one
shared by all pairs of their sort.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model.numerics.arrays import Floats, SparseRows
from model.numerics.lbfgs import minimise
from model.spans.chain.equal_columns import merge_columns
from model.spans.chain.lattice import Lattice, Packing, Potentials, forward_backward
from model.spans.chain.tags import SORTS, TagSet

REPEAT = -4.0
"""Log-score of a label right behind itself: two names of a kind are mostly one."""


@dataclass(frozen=True)
class Features:
    """Of the words of some texts, one text after another. `dense` [words, D]; `gate`: the rows of capitalised words;
    `sparse` [words, S] of zeros and ones (CSR); `offset` [words, K]: log-probabilities of a prior, or None; `matched`
    [words, K]: log-scores that patterns start with, or None without patterns."""

    lengths: Sequence[int]
    dense: NDArray[np.float32]
    gate: NDArray[np.int64]
    sparse: SparseRows
    offset: NDArray[np.float32] | None = None
    matched: NDArray[np.float32] | None = None

    @cached_property
    def gated(self) -> NDArray[np.float32]:
        """The dense features of capitalised words."""
        return self.dense[self.gate]


@dataclass(frozen=True)
class Penalties:
    """Half of these times the squared weights are added to the loss."""

    dense: float = 1.0
    sparse: float = 0.3
    bias: float = 3.0
    transitions: float = 3.0
    trust: float = 5.0


WITHOUT_PRIOR = Penalties(bias=0.001, transitions=0.1)
"""The log-counts of the tags are then the start of the biases, which are free."""


@dataclass(frozen=True)
class Weights:
    """All that is fitted, as it is penalised: `dense`, `gated` [D, K] and `sparse` [S, K] are tied by the tags' `mix`
    when they are used; `bias`, `begin`, `end` [K] and `pairs` [K, K] are each tag's own, `sorts` [SORTS], `begin_kinds`
    and `end_kinds` [3] shared by tags of a kind; `trust` [labels + 1]."""

    dense: Floats
    gated: Floats
    sparse: Floats
    bias: Floats
    pairs: Floats
    begin: Floats
    end: Floats
    sorts: Floats
    begin_kinds: Floats
    end_kinds: Floats
    trust: Floats

    @classmethod
    def zeros(cls, dense: int, sparse: int, tags: TagSet) -> Weights:
        """Of no opinion."""
        size, flat = tags.size, lambda *shape: np.zeros(shape, np.float32)
        return cls(
            flat(dense, size),
            flat(dense, size),
            flat(sparse, size),
            flat(size),
            flat(size, size),
            flat(size),
            flat(size),
            flat(SORTS),
            flat(3),
            flat(3),
            flat(len(tags.labels) + 1),
        )

    def arrays(self) -> dict[str, Floats]:
        """By name, in a fixed order."""
        return {own.name: getattr(self, own.name) for own in fields(self)}

    def flat(self) -> NDArray[np.float32]:
        """All of them in one row."""
        return np.concatenate([array.ravel() for array in self.arrays().values()]).astype(np.float32)

    def like(self, flat: Floats) -> Weights:
        """A row as made by `flat` in the shapes of these: views."""
        parts, first = {}, 0
        for name, array in self.arrays().items():
            parts[name] = flat[first : first + array.size].reshape(array.shape)
            first += array.size
        return Weights(**parts)


@dataclass(frozen=True)
class Chain:
    """A fitted chain: answers for the features it was fitted on and for others like them."""

    tags: TagSet
    weights: Weights = field(repr=False)
    iterations: int = 0

    @property
    def potentials(self) -> Potentials:
        """Log-scores of transitions, of beginning and of ending."""
        return _potentials(self.weights, self.tags)

    def emissions(self, features: Features) -> Floats:
        """Log-scores of the tags of each word [words, K]."""
        return _emissions(features, self.weights, self.tags)

    def lattice(self, features: Features) -> Lattice:
        """Forward-backward of each text."""
        return self.lattice_of(self.emissions(features), features.lengths)

    def lattice_of(self, emissions: Floats, lengths: Sequence[int]) -> Lattice:
        """The same from log-scores."""
        return forward_backward(emissions, Packing(lengths), _potentials(self.weights, self.tags), self.tags)

    def log_likelihoods(self, emissions: Floats, lattice: Lattice, gold: NDArray[np.int64]) -> Floats:
        """Of the tags of each text [texts], from log-scores and their lattice; 0 for a text without words."""
        packing, potentials = lattice.packing, _potentials(self.weights, self.tags)
        scores = emissions[np.arange(len(gold)), gold].astype(np.float64)
        inner = np.ones(len(gold), bool)
        inner[packing.firsts] = False
        here = np.flatnonzero(inner)
        scores[here] += potentials.transitions[gold[here - 1], gold[here]]
        scores[packing.firsts] += potentials.begin[gold[packing.firsts]]
        scores[packing.lasts] += potentials.end[gold[packing.lasts]]
        owners = np.repeat(np.arange(len(packing.lengths)), packing.lengths)
        sums: Floats = np.bincount(owners, scores, len(packing.lengths)).astype(np.float64)
        sums[packing.texts] -= lattice.log_z
        return sums


def _emissions(features: Features, weights: Weights, tags: TagSet) -> Floats:
    scores = features.dense @ weights.dense
    scores[features.gate] += features.gated @ weights.gated
    if features.sparse.shape[1]:
        scores += features.sparse @ weights.sparse
    scores = tags.mixed(scores) + weights.bias  # mixed here: there are fewer words than features
    if features.offset is not None:
        scores += features.offset * (1 + weights.trust)[tags.owners]
    if features.matched is not None:
        scores += features.matched
    return np.asarray(scores)


def _potentials(weights: Weights, tags: TagSet) -> Potentials:
    own = weights.pairs + weights.sorts[tags.sorts] + np.float32(REPEAT) * tags.repeats
    begin, end = weights.begin_kinds[tags.kinds], weights.end_kinds[tags.kinds]
    return Potentials(own, weights.begin + begin, weights.end + end)


class _Loss:
    """Penalised negative log-likelihood of tagged texts, a text on average, and its gradient."""

    def __init__(
        self, features: Features, gold: NDArray[np.int64], tags: TagSet, penalties: Penalties, weights: Floats | None
    ) -> None:
        self.features, self.gold, self.tags, self.penalties = features, gold, tags, penalties
        self.packing = Packing(features.lengths)
        lengths = np.asarray(features.lengths)
        per_text = np.ones(len(lengths), np.float32) if weights is None else weights.astype(np.float32)
        self.per_text = per_text[self.packing.texts]
        self.per_word = np.repeat(per_text, lengths)
        self.transposed = features.sparse.T.tocsr()
        self.blank = Weights.zeros(features.dense.shape[1], features.sparse.shape[1], tags)
        self.count = max(float(self.per_text.sum()), 1e-6)
        self._count_gold()

    def _count_gold(self) -> None:
        size, gold = self.tags.size, self.gold
        inner = np.ones(len(gold), bool)
        inner[self.packing.firsts] = False
        here = np.flatnonzero(inner)
        self.pairs, self.begin, self.end = np.zeros((size, size)), np.zeros(size), np.zeros(size)
        np.add.at(self.pairs, (gold[here - 1], gold[here]), self.per_word[here])
        np.add.at(self.begin, gold[self.packing.firsts], self.per_word[self.packing.firsts])
        np.add.at(self.end, gold[self.packing.lasts], self.per_word[self.packing.lasts])

    def __call__(self, flat: Floats) -> tuple[float, Floats]:
        weights, tags = self.blank.like(flat), self.tags
        scores = _emissions(self.features, weights, tags)
        potentials = _potentials(weights, tags)
        lattice = forward_backward(scores, self.packing, potentials, tags)
        rows = np.arange(len(self.gold))
        gold = float((scores[rows, self.gold] * self.per_word).sum(dtype=np.float64))
        gold += float((self.pairs * potentials.transitions).sum())
        gold += float(self.begin @ potentials.begin + self.end @ potentials.end)
        loss = float(lattice.log_z @ self.per_text) - gold
        slopes = np.empty_like(scores)
        slopes[self.packing.rows] = lattice.posteriors()
        slopes[rows, self.gold] -= 1
        slopes *= self.per_word[:, None]
        gradient = self._gradient(weights, slopes, lattice)
        result = np.empty_like(flat)
        into = self.blank.like(result)
        for name, strength in self._strengths().items():
            own, slope = getattr(weights, name), getattr(gradient, name)
            loss += 0.5 * strength * float((own * own).sum(dtype=np.float64))
            getattr(into, name)[...] = (slope + strength * own) / self.count
        return loss / self.count, result

    def _gradient(self, weights: Weights, slopes: Floats, lattice: Lattice) -> Weights:
        features, tags = self.features, self.tags
        offset = features.offset
        trust: Floats = np.zeros(len(weights.trust))
        if offset is not None:
            trust = _sum_by(tags.owners, (slopes * offset).sum(0), len(trust))
        pairs = np.where(tags.allowed, lattice.pairs(self.per_word[self.packing.rows]) - self.pairs, 0)
        bias = slopes.sum(0)
        begin = np.where(tags.starts, slopes[self.packing.firsts].sum(0), 0)
        end = slopes[self.packing.lasts].sum(0)
        mixed = tags.mixed(slopes)
        return Weights(
            features.dense.T @ mixed,
            features.gated.T @ mixed[features.gate],
            self.transposed @ mixed,
            bias,
            pairs,
            begin,
            end,
            _sum_by(tags.sorts, pairs, SORTS),
            _sum_by(tags.kinds, begin, 3),
            _sum_by(tags.kinds, end, 3),
            trust,
        )

    def _strengths(self) -> dict[str, float]:
        own = self.penalties
        return {
            **{"dense": own.dense, "gated": own.dense, "sparse": own.sparse, "bias": own.bias, "trust": own.trust},
            **dict.fromkeys(("pairs", "begin", "end", "sorts", "begin_kinds", "end_kinds"), own.transitions),
        }


def _sum_by(groups: NDArray[np.int64], values: Floats, count: int) -> Floats:
    """The sum of the values of each group."""
    return np.bincount(groups.ravel(), values.ravel(), count).astype(np.float64)


def fit_chain(
    features: Features,
    gold: NDArray[np.int64],
    tags: TagSet,
    *,
    start: Weights | None = None,
    iterations: int = 30,
    penalties: Penalties | None = None,
    weights: Floats | None = None,
    until: float = math.inf,
) -> Chain:
    """The chain of texts whose words have these tags; `weights`: how much each text counts; `start`: weights to go on
    from, of the same shapes; `until`: see `minimise`."""
    penalties = penalties or (Penalties() if features.offset is not None else WITHOUT_PRIOR)
    sparse, equal = merge_columns(features.sparse)
    loss = _Loss(replace(features, sparse=sparse), gold, tags, penalties, weights)
    start = replace(start, sparse=equal.merge(start.sparse)) if start is not None else None
    if start is None and features.offset is None:  # with a prior the counts would be told twice
        often = np.bincount(gold, loss.per_word, tags.size)
        start = _with_bias(loss.blank, np.log(often + 0.1) - np.log(max(often.sum(), 1.0)))
    found = minimise(loss, (start or loss.blank).flat(), iterations, until=until)
    fitted = loss.blank.like(found.point)
    return Chain(tags, replace(fitted, sparse=equal.spread(fitted.sparse)), found.iterations)


def _with_bias(weights: Weights, bias: Floats) -> Weights:
    return Weights(**{**weights.arrays(), "bias": bias.astype(np.float32)})
