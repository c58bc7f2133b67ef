"""Which texts with spans are worth reading next: by the clicks in doubt for each word that is read, spread over the
project; and before doubts mean anything, what the project is like."""

from __future__ import annotations

import numpy as np

from model.acquisition.diversity import clusters, drawn, fill_up
from model.acquisition.uncertainty import Pool, Rows
from model.numerics.arrays import Floats

RANDOM_UNTIL, CHOSEN_FROM, UNSEEN = 8, 32, 1 / 3
"""Labels up to which nothing is chosen, and from which doubts are gone by. Between the two every sort of text is asked
for while more than this share of what can be marked was not marked yet (of 39 labels doubts were 5 to 7 points of F1
below random then, at equal words read, and this above it); else still any: what a head of so few texts makes of a
biased choice may be worse than no choice (tweets: up to 19 points)."""

LEAST_STEP, STEP_SHARE = 8, 0.1
"""Labels after which a batch is chosen anew, at least and as a share of those known: so many come first in it, chosen
among the most doubtful of all; the others stand by."""

SHORTLIST = 8
"""Of so many times as many texts as are wanted, those with the most doubt a word, one is taken from each cluster."""

MOST_ROWS = 2000
"""Texts that are looked at, drawn at random: the most doubtful of a hundred thousand are odd ones."""

MOST_CLUSTERS = 200


def most_worth(pool: Pool, count: int, generator: np.random.Generator) -> Rows:
    """`count` rows: first those that may be labelled before the next plan, then the others."""
    assert pool.worth is not None  # what a pool of texts with spans has
    rows = drawn(pool.open, max(MOST_ROWS, count), generator)
    step = max(LEAST_STEP, round(STEP_SHARE * len(pool.labelled)))
    chosen: Rows = np.zeros(0, np.int64)
    for wanted in (min(step, count), count - min(step, count)):
        if wanted:
            known = np.concatenate([pool.labelled, chosen])
            left = rows[~np.isin(rows, chosen)]
            pick = _doubtful if len(known) >= CHOSEN_FROM else _of_every_sort
            if is_any_good(len(known), pool.unseen):
                pick = _any
            chosen = np.concatenate([chosen, pick(pool, pool.worth, known, left, wanted, generator)])
    return chosen


def is_any_good(known: int, unseen: float) -> bool:
    """Whether any text will do: with so many labelled, and this share of what can be marked not marked yet."""
    return known < RANDOM_UNTIL or (known < CHOSEN_FROM and unseen <= UNSEEN)


def _any(pool: Pool, worth: Floats, known: Rows, rows: Rows, count: int, generator: np.random.Generator) -> Rows:
    return generator.choice(rows, count, replace=False)


def _doubtful(pool: Pool, worth: Floats, known: Rows, rows: Rows, count: int, generator: np.random.Generator) -> Rows:
    """The most worth of each cluster of those that are worth most; these first."""
    close = rows[np.argsort(-worth[rows], kind="stable")][: SHORTLIST * count]
    labels, _ = clusters(pool.unit(close), min(count, len(close), MOST_CLUSTERS), generator)
    _, firsts = np.unique(labels, return_index=True)  # `close` is in the order of worth
    return fill_up(close[np.sort(firsts)], close, count)


def _of_every_sort(
    pool: Pool, worth: Floats, known: Rows, rows: Rows, count: int, generator: np.random.Generator
) -> Rows:
    """From the largest clusters without a label the text nearest to the middle."""
    known = drawn(known, MOST_ROWS, generator)
    both = np.concatenate([known, rows])
    unit = pool.unit(both)
    labels, centres = clusters(unit, min(len(known) + count, len(both), MOST_CLUSTERS), generator)
    covered = np.bincount(labels[: len(known)], minlength=len(centres))
    distance = np.linalg.norm(unit - centres[labels], axis=1)
    chosen: list[int] = []
    for cluster in np.lexsort((-np.bincount(labels, minlength=len(centres)), covered)):
        members = np.flatnonzero(labels[len(known) :] == cluster) + len(known)
        if len(members) and len(chosen) < count:
            chosen.append(int(both[members[distance[members].argmin()]]))
    return fill_up(np.array(chosen, dtype=np.int64), rows, count)
