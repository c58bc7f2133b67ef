"""How unsure the answers to a pool are. Pure: probabilities in, one number per row out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model.numerics.arrays import Floats

Rows = NDArray[np.int64]

SMALLEST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class Pool:
    """All rows a strategy may look at: probabilities [n, K], features [n, width] (any length: made unit length here),
    `labelled`: rows that have a label already; `closed`: others that must not be chosen; `hidden`: rows whose page does
    not ask this question, so that nothing is learned from them here. `threshold`: of multi-label
    answers, one or one per label [K]. `members` [m, n, K]: what each member of the head says, for `bald`; `shares` [m]:
    their weights, else alike. `worth` [n], of texts with spans alone: the clicks in doubt for each word read; `unseen`:
    the share of their labels that nobody has marked anything as. A taxonomy's columns are its nodes, a rating's its
    stars: both are single answers."""

    probabilities: Floats
    features: Floats
    labelled: Rows
    multilabel: bool = False
    threshold: float | Floats = 0.5
    closed: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    members: Floats | None = None
    shares: Floats | None = None
    hidden: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    worth: Floats | None = None
    unseen: float = 0.0

    @property
    def open(self) -> Rows:
        """Rows that may be chosen."""
        may = np.ones(len(self.probabilities), dtype=bool)
        may[self.labelled] = may[self.closed] = may[self.hidden] = False
        return np.flatnonzero(may)

    def unit(self, rows: Rows) -> Floats:
        """Features of these rows at unit length [len(rows), width]."""
        found = self.features[rows]
        lengths: Floats = np.maximum(np.linalg.norm(found, axis=1, keepdims=True), SMALLEST_PROBABILITY)
        return found / lengths


def margins(pool: Pool) -> Floats:
    """How close each answer is [n]: gap between the two likeliest classes; for sets, of the label nearest to its
    threshold."""
    p = pool.probabilities
    if pool.multilabel:
        return np.abs(p - pool.threshold).min(1, initial=1.0)
    if p.shape[1] < 2:
        return np.ones(len(p))
    second, first = np.partition(p, -2, axis=1)[:, -2:].T
    return first - second


def entropies(pool: Pool) -> Floats:
    """Nats [n]; for sets the sum over the labels."""
    return _entropy(pool.probabilities, multilabel=pool.multilabel)


def confidences(pool: Pool) -> Floats:
    """Probability of the answer [n]; for sets of the whole set."""
    p = pool.probabilities
    return np.where(p >= pool.threshold, p, 1 - p).prod(1) if pool.multilabel else p.max(1, initial=0.0)


def disagreements(pool: Pool) -> Floats:
    """BALD (Houlsby et al. 2011) [n], nats: entropy of the members' mean answer less the mean of their entropies, i.e.
    what the answer would tell about which member is right. Zeros when there are not two members."""
    if pool.members is None or len(pool.members) < 2:
        return np.zeros(len(pool.probabilities))
    shares = np.ones(len(pool.members)) if pool.shares is None else np.asarray(pool.shares, dtype=np.float64)
    shares = shares / shares.sum()
    mean, expected = np.zeros(pool.members.shape[1:]), np.zeros(pool.members.shape[1])
    for share, answers in zip(shares, pool.members, strict=True):  # one at a time: [m, n, K] is large enough once
        mean += share * answers
        expected += share * _entropy(answers, multilabel=pool.multilabel)
    return np.maximum(_entropy(mean, multilabel=pool.multilabel) - expected, 0.0)


def _entropy(p: Floats, *, multilabel: bool) -> Floats:
    total: Floats = -(p * np.log(np.maximum(p, SMALLEST_PROBABILITY))).sum(1)
    if multilabel:
        q = 1 - p
        total = total - (q * np.log(np.maximum(q, SMALLEST_PROBABILITY))).sum(1)
    return total
