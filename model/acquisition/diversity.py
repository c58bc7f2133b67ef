"""Rows that differ from each other: strategies that look at features. Each looks at no more than MOST_ROWS rows.

Larger pools are drawn from at random first: k-means and k-centre over 100,000 rows would take minutes, and a random
tenth of a large pool has a near neighbour of almost everything.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from model.acquisition.uncertainty import Pool, Rows, margins
from model.numerics.arrays import Floats

SHORTLIST_FACTOR = 10
"""`margin_clusters` clusters this many times as many rows as are wanted: those with the smallest margins."""

TYPICALITY_NEIGHBOURS = 20
"""Neighbours whose distance says how typical a text is (Hacohen et al. 2022)."""

TYPICAL_UNTIL = 64
"""Labels up to which `typiclust` looks for typical texts; then margins tell more."""

MOST_CLUSTERS = 500

MOST_ROWS = 10_000
"""Rows that are clustered, or compared with each other, at most: seconds on one core."""

MOST_NEIGHBOURS = 2000
"""Rows of a cluster among which the most typical is looked for."""

BLOCK_ROWS = 1000


def smallest(values: Floats, rows: Rows, count: int) -> Rows:
    """The `count` of `rows` with the smallest values; ties in row order."""
    return rows[np.argsort(values[rows], kind="stable")[:count]]


def margin(pool: Pool, count: int, generator: np.random.Generator) -> Rows:
    """Smallest margins (Scheffer et al. 2001)."""
    return smallest(margins(pool), pool.open, count)


def margin_clusters(pool: Pool, count: int, generator: np.random.Generator) -> Rows:
    """Of the SHORTLIST_FACTOR x `count` smallest margins one per k-means cluster, the nearest to its centre; those with
    the smallest margins first."""
    close = smallest(margins(pool), pool.open, min(SHORTLIST_FACTOR * count, max(MOST_ROWS, count)))
    return _one_per_cluster(pool, close, min(count, len(close)), count, generator)


def typiclust(pool: Pool, count: int, generator: np.random.Generator) -> Rows:
    """The most typical text of each of the largest clusters without a label (Hacohen et al. 2022), to TYPICAL_UNTIL
    labels; then `margin`."""
    if len(pool.labelled) >= TYPICAL_UNTIL:
        return margin(pool, count, generator)
    return _typical(pool, count, generator)


def typical_first(pool: Pool, count: int, generator: np.random.Generator) -> Rows:
    """As `typiclust` to TYPICAL_UNTIL labels, then `margin_clusters`: texts of every sort while margins mean little,
    close calls of every sort afterwards."""
    if len(pool.labelled) >= TYPICAL_UNTIL:
        return margin_clusters(pool, count, generator)
    return _typical(pool, count, generator)


def _typical(pool: Pool, count: int, generator: np.random.Generator) -> Rows:
    rows = np.concatenate([pool.labelled, drawn(pool.open, max(MOST_ROWS, count), generator)])
    unit, is_open = pool.unit(rows), np.arange(len(rows)) >= len(pool.labelled)
    labels, _ = clusters(unit, min(len(pool.labelled) + count, MOST_CLUSTERS), generator)
    sizes = np.bincount(labels)
    covered = np.bincount(labels[~is_open], minlength=len(sizes))
    chosen: list[int] = []
    for cluster in np.lexsort((-sizes, covered)):
        members = drawn(np.flatnonzero((labels == cluster) & is_open), MOST_NEIGHBOURS, generator)
        if len(members) and len(chosen) < count:
            chosen.append(int(rows[members[_typicality(unit[members]).argmax()]]))
    return fill_up(np.array(chosen, dtype=np.int64), pool.open, count)


def coreset(pool: Pool, count: int, generator: np.random.Generator) -> Rows:
    """Greedy k-centre: each time the row farthest from all labelled and chosen ones (Sener and Savarese 2018)."""
    rows = drawn(pool.open, max(MOST_ROWS, count), generator)
    unit, centres = pool.unit(rows), pool.unit(pool.labelled)
    if not len(centres):
        centres = unit.mean(0, keepdims=True)
    nearest = np.full(len(rows), np.inf)
    for start in range(0, len(centres), BLOCK_ROWS):
        nearest = np.minimum(nearest, 1 - (unit @ centres[start : start + BLOCK_ROWS].T).max(1))
    chosen: list[int] = []
    for _ in range(count):
        place = int(nearest.argmax())
        chosen.append(place)
        nearest = np.minimum(nearest, 1 - unit @ unit[place])
        nearest[chosen] = -np.inf
    return rows[chosen]


def badge(pool: Pool, count: int, generator: np.random.Generator) -> Rows:
    """k-means++ seeding on the gradients that the likeliest answers would give (Ash et al. 2020).

    A gradient is the outer product of (p - answer) and the feature, so distances need no K x width vectors."""
    rows = drawn(pool.open, max(MOST_ROWS, count), generator)
    p, right = pool.probabilities[rows], pool.unit(rows)
    answers = p >= pool.threshold if pool.multilabel else np.eye(p.shape[1])[p.argmax(1)]
    left = p - answers
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
    return fill_up(rows[chosen], rows, count)


def drawn(rows: Rows, most: int, generator: np.random.Generator) -> Rows:
    """`rows`, or `most` of them drawn at random, in their order."""
    return rows if len(rows) <= most else np.sort(generator.choice(rows, most, replace=False))


def clusters(points: Floats, count: int, generator: np.random.Generator) -> tuple[NDArray[np.int32], Floats]:
    """k-means: cluster of each point [n] and the centres [count, width]."""
    from sklearn.cluster import KMeans

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct points than clusters: some stay empty
        fitted = KMeans(count, n_init=1, max_iter=50, random_state=int(generator.integers(2**31))).fit(points)
    return fitted.labels_, fitted.cluster_centers_


def fill_up(chosen: Rows, rows: Rows, count: int) -> Rows:
    """`chosen`, and the first of `rows` that are not in it, `count` in all."""
    rest = rows[~np.isin(rows, chosen)]
    return np.concatenate([chosen, rest[: max(0, count - len(chosen))]])[:count]


def _one_per_cluster(pool: Pool, close: Rows, groups: int, count: int, generator: np.random.Generator) -> Rows:
    unit = pool.unit(close)
    labels, centres = clusters(unit, groups, generator)
    distance = np.linalg.norm(unit - centres[labels], axis=1)
    order = np.lexsort((distance, labels))
    firsts = order[np.unique(labels[order], return_index=True)[1]]
    return fill_up(close[np.sort(firsts)], close, count)  # equal texts leave clusters empty


def _typicality(unit: Floats) -> Floats:
    """Inverse mean distance to the nearest neighbours, among these rows [n]."""
    if len(unit) < 3:
        return np.ones(len(unit))
    distance = np.sqrt(np.maximum(2 - 2 * unit @ unit.T, 0))
    near = np.partition(distance, min(TYPICALITY_NEIGHBOURS, len(unit) - 1), axis=1)[:, : TYPICALITY_NEIGHBOURS + 1]
    return 1 / np.maximum(near.sum(1) / (near.shape[1] - 1), 1e-12)  # the row itself is at distance 0
