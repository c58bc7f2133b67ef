"""Tasks that probably belong to classes of which few labels are known. Pure.

Rather in doubt than the surest: a member that the model is sure of teaches it nothing, and batches of them made
banking77 worse at equal labels (docs/decisions/0080-hunt.md). What is missed makes a class's next candidates surer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.acquisition.uncertainty import Pool
from model.numerics.arrays import Floats

ENOUGH = 10
"""Labels of a class from which it is not hunted any more by itself."""

AIM = 0.4
"""The probability of a class that its candidates are nearest to, while they are hits."""

MISSES, MISSES_A_LABEL = 8, 4
"""Candidates in vain, at first and for each label of the class, after which it is let alone: it may not be there."""

MISS_COST = 0.1
"""Labels that a miss counts as when the scarcest class is looked for."""

LEAST_CHANCE = 0.15
"""What a candidate counts as at least in the labels that a class is expected to have."""

ALIKE = 0.95
"""Cosine from which on two candidates are the same text twice."""

MOST_CLASSES = 500
"""Classes looked at, those with the fewest labels and then the likeliest: there are taxonomies of thousands."""


@dataclass(frozen=True)
class ClassHunt:
    """One class of one control: `pool` says which of the pools, `column` which of its probabilities; `below`: those of
    the nodes below it, whose members are its own. It has `labels`, and is hunted until it has `wanted`; of `asked`
    tasks labelled for it `found` were it. `signs` reads [n] what somebody knows of its members (1: looks like one, 0:
    does not), when it is its turn; such are taken first, the likeliest of them before others."""

    pool: int
    column: int
    labels: int
    wanted: int = ENOUGH
    asked: int = 0
    found: int = 0
    signs: Callable[[], Floats] | None = None
    below: tuple[int, ...] = ()

    def chances(self, pool: Pool, rows: NDArray[np.int64]) -> Floats:
        """The probability of the class in each of these rows [n]."""
        own = pool.probabilities[np.ix_(rows, np.array([self.column, *self.below]))].astype(float)
        return own.max(1) if pool.multilabel else np.minimum(own.sum(1), 1.0)

    @property
    def misses(self) -> int:
        """Candidates that were something else."""
        return self.asked - self.found

    @property
    def is_over(self) -> bool:
        """Whether there are labels enough."""
        return self.labels >= self.wanted

    @property
    def is_vain(self) -> bool:
        """Whether so many candidates were something else that there may be no member in the pool."""
        return self.misses >= MISSES + MISSES_A_LABEL * self.labels


@dataclass(frozen=True)
class Candidate:
    """A row, and for which of the hunts it was taken."""

    row: int
    hunt: int


def hunt_rows(
    pools: Sequence[Pool], hunts: Sequence[ClassHunt], free: NDArray[np.bool_], count: int
) -> list[Candidate]:
    """At most `count` of the rows that are `free` [n], each time for the class that lacks most."""
    open_ = _worth_hunting(pools, hunts)
    expected = {place: hunts[place].labels + MISS_COST * hunts[place].misses for place in open_}
    free, chosen, found = free.copy(), list[int](), list[Candidate]()
    while open_ and len(found) < count:
        place = min(open_, key=lambda place: (expected[place], place))
        hunt = hunts[place]
        row = _best(pools[hunt.pool], hunt, free)
        if row is None:
            open_.remove(place)
            continue
        free[row] = False
        if _is_copy(pools[hunt.pool], row, chosen):
            continue
        chosen.append(row)
        found.append(Candidate(row, place))
        expected[place] += max(LEAST_CHANCE, float(hunt.chances(pools[hunt.pool], np.array([row]))[0]))
        if expected[place] >= hunt.wanted:
            open_.remove(place)
    return found


def _worth_hunting(pools: Sequence[Pool], hunts: Sequence[ClassHunt]) -> list[int]:
    """Those that are neither over nor in vain, MOST_CLASSES at most."""
    found = [place for place, hunt in enumerate(hunts) if not hunt.is_over and not hunt.is_vain]
    if len(found) <= MOST_CLASSES:
        return found
    likeliest = [pool.probabilities.max(0, initial=0.0) for pool in pools]
    found.sort(key=lambda place: (hunts[place].labels, -likeliest[hunts[place].pool][hunts[place].column]))
    return found[:MOST_CLASSES]


def _best(pool: Pool, hunt: ClassHunt, free: NDArray[np.bool_]) -> int | None:
    """The free row nearest to the chance that is looked for: AIM, and the more of them were missed the surer."""
    may = free.copy()
    may[pool.hidden] = False
    rows = np.flatnonzero(may)
    if not len(rows):
        return None
    aim = AIM + (1 - AIM) * hunt.misses / (hunt.asked + 1)
    distance = np.abs(hunt.chances(pool, rows) - aim)
    if hunt.signs is not None:
        distance = distance - 2 * hunt.signs()[rows]
    return int(rows[distance.argmin()])


def _is_copy(pool: Pool, row: int, chosen: Sequence[int]) -> bool:
    """Whether one of the chosen rows is almost the same text."""
    if not chosen:
        return False
    units = pool.unit(np.array([row, *chosen]))
    return bool((units[1:] @ units[0] >= ALIKE).any())
