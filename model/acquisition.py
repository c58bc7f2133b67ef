"""Which unlabelled tasks to label next. Pure: probabilities, features and what is labelled in, rows out.

Names as in the literature; which of them pays is measured with `understudy simulate --strategy`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Rows = NDArray[np.int64]

SHORTLIST = 10
"""`margin_clusters` clusters this many times as many rows as are wanted: those with the smallest margins."""

NEIGHBOURS = 20
"""Neighbours whose distance says how typical a text is (Hacohen et al. 2022)."""

TYPICAL_UNTIL = 64
"""Labels up to which `typiclust` looks for typical texts; then margins tell more."""

MOST_CLUSTERS = 500


@dataclass(frozen=True)
class Pool:
    """All rows a strategy may look at: probabilities [n, K], features [n, width] (any length: made unit length here),
    `labelled`: rows that have a label already; `closed`: others that must not be chosen. `threshold`: of multi-label
    answers."""

    probabilities: Floats
    features: Floats
    labelled: Rows
    multilabel: bool = False
    threshold: float = 0.5
    closed: Rows = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def open(self) -> Rows:
        """Rows that may be chosen."""
        may = np.ones(len(self.probabilities), dtype=bool)
        may[self.labelled] = may[self.closed] = False
        return np.flatnonzero(may)

    @property
    def unit(self) -> Floats:
        """Features at unit length."""
        return self.features / np.maximum(np.linalg.norm(self.features, axis=1, keepdims=True), 1e-12)


Strategy = Callable[[Pool, int, np.random.Generator], Rows]


def choose(strategy: str, pool: Pool, count: int, seed: int = 0) -> Rows:
    """`count` distinct rows without a label, in the order they should be labelled; all of them when fewer are left.

    Raises KeyError for an unknown strategy."""
    pick, rows = STRATEGIES[strategy], pool.open
    if len(rows) <= count:
        return rows
    return np.asarray(pick(pool, count, np.random.default_rng(seed)), dtype=np.int64)


def margins(pool: Pool) -> Floats:
    """How close each answer is [n]: gap between the two likeliest classes; for sets, of the label nearest to the
    threshold."""
    p = pool.probabilities
    if pool.multilabel:
        return np.abs(p - pool.threshold).min(1)
    if p.shape[1] < 2:
        return np.ones(len(p))
    second, first = np.partition(p, -2, axis=1)[:, -2:].T
    return first - second


def entropies(pool: Pool) -> Floats:
    """Nats [n]; for sets the sum over the labels."""
    p = np.clip(pool.probabilities, 1e-12, 1)
    total = -(p * np.log(p)).sum(1)
    if pool.multilabel:
        q = np.clip(1 - pool.probabilities, 1e-12, 1)
        total = total - (q * np.log(q)).sum(1)
    return total


def confidences(pool: Pool) -> Floats:
    """Probability of the answer [n]; for sets of the whole set."""
    p = pool.probabilities
    return np.where(p >= pool.threshold, p, 1 - p).prod(1) if pool.multilabel else p.max(1)


def smallest(values: Floats, rows: Rows, count: int) -> Rows:
    """The `count` of `rows` with the smallest values; ties in row order."""
    return rows[np.argsort(values[rows], kind="stable")[:count]]


def random(pool: Pool, count: int, generator: np.random.Generator) -> Rows:
    """Any rows."""
    return generator.choice(pool.open, count, replace=False)


def margin(pool: Pool, count: int, generator: np.random.Generator) -> Rows:
    """Smallest margins (Scheffer et al. 2001)."""
    return smallest(margins(pool), pool.open, count)


def entropy(pool: Pool, count: int, generator: np.random.Generator) -> Rows:
    """Largest entropies."""
    return smallest(-entropies(pool), pool.open, count)


def least_confidence(pool: Pool, count: int, generator: np.random.Generator) -> Rows:
    """Least confident answers."""
    return smallest(confidences(pool), pool.open, count)


def margin_clusters(pool: Pool, count: int, generator: np.random.Generator) -> Rows:
    """Of the SHORTLIST x `count` smallest margins one per k-means cluster, the nearest to its centre."""
    close = smallest(margins(pool), pool.open, SHORTLIST * count)
    labels, centres = _clusters(pool.unit[close], count, generator)
    distance = np.linalg.norm(pool.unit[close] - centres[labels], axis=1)
    order = np.lexsort((distance, labels))
    firsts = order[np.unique(labels[order], return_index=True)[1]]
    chosen = close[np.sort(firsts)]
    return _fill_up(chosen, close, count)  # equal texts leave clusters empty


def typiclust(pool: Pool, count: int, generator: np.random.Generator) -> Rows:
    """The most typical text of each of the largest clusters without a label (Hacohen et al. 2022), to TYPICAL_UNTIL
    labels; then `margin`."""
    if len(pool.labelled) >= TYPICAL_UNTIL:
        return margin(pool, count, generator)
    unit, is_open = pool.unit, np.zeros(len(pool.features), dtype=bool)
    is_open[pool.open] = True
    labels, _ = _clusters(unit, min(len(pool.labelled) + count, MOST_CLUSTERS), generator)
    sizes = np.bincount(labels)
    covered = np.bincount(labels[pool.labelled], minlength=len(sizes))
    chosen: list[int] = []
    for cluster in np.lexsort((-sizes, covered)):
        members = np.flatnonzero((labels == cluster) & is_open)
        if len(members) and len(chosen) < count:
            chosen.append(int(members[_typicality(unit[members]).argmax()]))
    return _fill_up(np.array(chosen, dtype=np.int64), pool.open, count)


def coreset(pool: Pool, count: int, generator: np.random.Generator) -> Rows:
    """Greedy k-centre: each time the row farthest from all labelled and chosen ones (Sener and Savarese 2018)."""
    unit = pool.unit
    start = unit[pool.labelled] if len(pool.labelled) else unit.mean(0, keepdims=True)
    nearest = 1 - (unit @ start.T).max(1)
    nearest[pool.labelled] = nearest[pool.closed] = -np.inf
    chosen = []
    for _ in range(count):
        row = int(nearest.argmax())
        chosen.append(row)
        nearest = np.minimum(nearest, 1 - unit @ unit[row])
        nearest[row] = -np.inf
    return np.array(chosen)


def badge(pool: Pool, count: int, generator: np.random.Generator) -> Rows:
    """k-means++ seeding on the gradients that the likeliest answers would give (Ash et al. 2020).

    A gradient is the outer product of (p - answer) and the feature, so distances need no K x width vectors."""
    p, unit, rows = pool.probabilities, pool.unit, pool.open
    answers = p >= pool.threshold if pool.multilabel else np.eye(p.shape[1])[p.argmax(1)]
    left, right = (p - answers)[rows], unit[rows]
    norms = (left**2).sum(1) * (right**2).sum(1)
    chosen = [int(norms.argmax())]
    nearest = np.full(len(rows), np.inf)
    while len(chosen) < count:
        last = chosen[-1]
        distance = norms + norms[last] - 2 * (left @ left[last]) * (right @ right[last])
        nearest = np.minimum(nearest, np.maximum(distance, 0))
        nearest[chosen] = 0
        if nearest.sum() <= 0:
            break
        chosen.append(int(generator.choice(len(rows), p=nearest / nearest.sum())))
    return _fill_up(rows[chosen], rows, count)


STRATEGIES: dict[str, Strategy] = {
    "random": random,
    "margin": margin,
    "entropy": entropy,
    "least_confidence": least_confidence,
    "margin_clusters": margin_clusters,
    "typiclust": typiclust,
    "coreset": coreset,
    "badge": badge,
}


def _clusters(points: Floats, count: int, generator: np.random.Generator) -> tuple[NDArray[np.int32], Floats]:
    """Cluster of each point [n] and the centres [count, width]."""
    from sklearn.cluster import KMeans

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct points than clusters: some stay empty
        fitted = KMeans(count, n_init=1, max_iter=50, random_state=int(generator.integers(2**31))).fit(points)
    return fitted.labels_, fitted.cluster_centers_


def _typicality(unit: Floats) -> Floats:
    """Inverse mean distance to the nearest neighbours, among these rows [n]."""
    if len(unit) < 3:
        return np.ones(len(unit))
    distance = np.sqrt(np.maximum(2 - 2 * unit @ unit.T, 0))
    near = np.partition(distance, min(NEIGHBOURS, len(unit) - 1), axis=1)[:, : NEIGHBOURS + 1]
    return 1 / np.maximum(near.sum(1) / (near.shape[1] - 1), 1e-12)  # the row itself is at distance 0


def _fill_up(chosen: Rows, rows: Rows, count: int) -> Rows:
    """`chosen`, and the first of `rows` that are not in it, `count` in all."""
    rest = rows[~np.isin(rows, chosen)]
    return np.concatenate([chosen, rest[: max(0, count - len(chosen))]])[:count]
