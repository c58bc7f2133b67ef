"""Which unlabelled tasks to label next. Pure: probabilities, features and what is labelled in, rows out.

Names as in the literature; which of them pays is measured with `python -m bench.active_learning`, on one's
own data with `understudy simulate --strategy`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from model.acquisition.diversity import badge, coreset, margin, margin_clusters, smallest, typical_first, typiclust
from model.acquisition.reading_worth import most_worth
from model.acquisition.uncertainty import Pool, Rows, confidences, disagreements, entropies, margins

__all__ = ["DEFAULT_STRATEGY", "STRATEGIES", "Pool", "Strategy", "choose", "confidences", "entropies", "margins"]

Strategy = Callable[[Pool, int, np.random.Generator], Rows]

DEFAULT_STRATEGY = "margin_clusters"
"""Fewest labels to 90 and 95 % of what all labels give (docs/active-learning/strategies.md)."""


def choose(strategy: str, pool: Pool, count: int, seed: int = 0) -> Rows:
    """`count` distinct rows without a label, in the order they should be labelled; all of them when fewer are left.
    The default chooses texts with spans by what they are worth reading for (reading_worth.py).

    Raises KeyError for an unknown strategy."""
    pick, rows = STRATEGIES[strategy], pool.open
    if len(rows) <= count:
        return rows
    if pool.worth is not None and strategy == DEFAULT_STRATEGY:
        pick = most_worth
    return np.asarray(pick(pool, count, np.random.default_rng(seed)), dtype=np.int64)


def random(pool: Pool, count: int, generator: np.random.Generator) -> Rows:
    return generator.choice(pool.open, count, replace=False)


def entropy(pool: Pool, count: int, generator: np.random.Generator) -> Rows:
    return smallest(-entropies(pool), pool.open, count)


def least_confidence(pool: Pool, count: int, generator: np.random.Generator) -> Rows:
    """Least confident answers."""
    return smallest(confidences(pool), pool.open, count)


def bald(pool: Pool, count: int, generator: np.random.Generator) -> Rows:
    """Rows about which the head's members disagree most. Where none does (one member, or no label yet) there is nothing
    to go by: as `entropy`, which also decides between equals."""
    rows = pool.open
    order = np.lexsort((-entropies(pool)[rows], -disagreements(pool)[rows]))
    return rows[order[:count]]


STRATEGIES: dict[str, Strategy] = {
    "random": random,
    "margin": margin,
    "entropy": entropy,
    "least_confidence": least_confidence,
    "bald": bald,
    "margin_clusters": margin_clusters,
    "typiclust": typiclust,
    "typical_first": typical_first,
    "coreset": coreset,
    "badge": badge,
}
