"""The next batch of the labelling queue: which tasks, in which role. Pure.

Label Studio hands out, of the queue's tasks, one of the cluster of which the annotator has solved fewest, there the one
with the lowest score. Its fast import stores no clusters, so the chosen tasks have none: together they are one cluster,
least confident first. A blind, explored or hunted task gets a cluster of its own, which nobody has solved a task of: so
it goes first. Of blind and explored ones as many are placed as their role lacks to have its share of all labels.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

from model.acquisition.rare_classes import ClassHunt, hunt_rows
from model.acquisition.strategies import Pool, choose
from model.numerics.arrays import Floats

Rows = NDArray[np.int64]
Role = Literal["chosen", "explore", "blind", "hunt"]

LEAST_LABELLED_SHARE = 0.25
"""Share of a batch that is labelled, at least, before the next one is planned."""

MOST_RESERVED = 0.5
"""Share of a batch that blind and explored tasks together take at most, each half of it; and hunted ones."""

APART = 1e-6
"""Least difference of two confidences that shall be told apart."""

ONE_SIDED, TRIED = 8, 4
"""From so many labels on, while the model gives all of them the same answer, so many explored tasks go first: nothing
is known yet of what lies between two answers. On SMS spam with label names that say nothing, margins went on asking for
the same kind of message for 40 labels."""


_WORD = (1 << 64) - 1
"""Whoever calls /predict may send ids of any size."""


@dataclass(frozen=True)
class QueueEntry:
    """One task of the queue. `row` is that of the pools; `confidence` goes to Label Studio as the score; `cluster` is
    None for chosen tasks, and counts the others from 0. `hunt`: for which of the hunts, None for other roles."""

    task: int
    row: int
    confidence: float
    cluster: int | None
    role: Role
    hunt: int | None = None


@dataclass(frozen=True)
class Repeats:
    """Which rows have the same text: those of the same number in `groups` [n]; `labelled` [n]: the text is labelled in
    another task, which may be in no pool."""

    groups: Rows
    labelled: NDArray[np.bool_]

    def leave_out(self, free: NDArray[np.bool_], done: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The first free row of each group without a label; all free rows when there is none."""
        known = self.labelled | np.isin(self.groups, self.groups[done])
        rows = np.flatnonzero(free & ~known)
        first = np.zeros(len(free), dtype=bool)
        first[rows[np.unique(self.groups[rows], return_index=True)[1]]] = True
        return first if len(rows) else free


def share_of(project: int, task: int) -> float:
    """A number in [0, 1) that belongs to the task for ever, the same in all processes, as good as drawn at random."""
    return (xxhash.xxh3_64_intdigest(struct.pack("<QQ", project & _WORD, task & _WORD)) >> 11) / (1 << 53)


def is_blind(project: int, task: int, blind_share: float) -> bool:
    """Whether the task is never chosen and never pre-labelled: an unbiased hold-out."""
    return share_of(project, task) < blind_share


def is_explored(project: int, task: int, blind_share: float, explore_share: float) -> bool:
    """Whether the task is never chosen, but pre-labelled: it differs from a blind one in that alone."""
    return blind_share <= share_of(project, task) < blind_share + explore_share


def plan_batch(
    pools: Sequence[Pool],
    tasks: Rows,
    confidence: Floats,
    *,
    project: int,
    strategy: str,
    size: int,
    blind_share: float = 0.0,
    explore_share: float = 0.0,
    avoid: Collection[int] = frozenset(),
    seed: int = 0,
    in_order: bool = False,
    repeats: Repeats | None = None,
    alike: Repeats | None = None,
    hunts: Sequence[ClassHunt] = (),
    hunted: int = 0,
) -> list[QueueEntry]:
    """`size` places, or all tasks that are left: blind, explored, hunted, then chosen ones as they were chosen.

    `pools`: one per control over the same rows, labelled ones included; `tasks` and `confidence` [n] belong to them.
    `avoid`: tasks that nobody is to be given (skipped, drafted). A row that has a label for any control is done; more
    than one control choose in turn. `in_order`: chosen tasks are handed out in the order of their choice; they have
    their confidences between them, the first one the least. `repeats`: duplicates, of which one is chosen or hunted at
    a time, and none of a text that is labelled or to be avoided, as long as other tasks are left; blind and explored
    ones stay a sample of all tasks. `alike`: near ones, which are chosen when others do not fill the batch. `hunted`:
    tasks at most for scarce classes (`hunts`), and half of `size` at most. Raises ValueError when lengths differ,
    KeyError for an unknown strategy."""
    if not pools or any(len(pool.probabilities) != len(tasks) for pool in pools) or len(tasks) != len(confidence):
        raise ValueError("pools, tasks and confidence: one pool at least, and as many rows everywhere")
    shares = np.array([share_of(project, int(task)) for task in tasks])
    blind, explored = shares < blind_share, (shares >= blind_share) & (shares < blind_share + explore_share)
    done, open_ = _done_and_open(pools, tasks, avoid)
    rows: dict[Role, list[int]] = {}
    roles: list[tuple[Role, NDArray[np.bool_], float]]
    roles = [("blind", blind, blind_share), ("explore", explored, explore_share)]
    for role, members, share in roles:
        count = _due(share, size, int(done.sum()), int((members & done).sum()))
        if role == "explore" and share > 0 and any(map(_is_one_sided, pools)):
            count = max(count, min(TRIED, size))
        rows[role] = _first(members & open_, shares, count)
    left = max(0, size - sum(map(len, rows.values())))
    free = open_ & ~blind & ~explored
    if repeats is not None:
        passed_over = np.isin(tasks, np.fromiter(avoid, dtype=np.int64, count=len(avoid)))
        fresh = repeats.leave_out(free, done | passed_over)
        free = repeats.leave_out(free, done) if fresh is free else fresh  # one each of what was passed over, at least
    prey = hunt_rows(pools, hunts, free, min(hunted, left, int(MOST_RESERVED * size)))
    rows["hunt"] = [candidate.row for candidate in prey]
    free[rows["hunt"]] = False
    left -= len(prey)
    first = free if alike is None else free & alike.leave_out(free, done)
    rows["chosen"] = _choose_in_turn(pools, first, strategy, min(left, int(first.sum())), seed)
    if left := min(left, int(free.sum())) - len(rows["chosen"]):
        free[rows["chosen"]] = False
        rows["chosen"] += _choose_in_turn(pools, free, strategy, left, seed)
    reserved: dict[Role, NDArray[np.bool_]] = {"blind": blind & open_, "explore": explored & open_}
    _top_up(rows, reserved, shares, size)
    if in_order:
        confidence = _in_order_of_choice(confidence, rows["chosen"])
    return _list(rows, tasks, confidence, {candidate.row: candidate.hunt for candidate in prey})[:size]


def _in_order_of_choice(confidence: Floats, chosen: Sequence[int]) -> Floats:
    """What the chosen rows have, dealt out anew, ascending; no two have the same."""
    dealt, places = confidence.astype(float), np.arange(len(chosen))
    dealt[list(chosen)] = np.sort(dealt[list(chosen)]) * (1 - APART * len(chosen)) + APART * places
    return dealt


def _done_and_open(
    pools: Sequence[Pool], tasks: Rows, avoid: Collection[int]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows have a label for any control, and which are unanswered and may be handed out."""
    done, open_ = np.zeros(len(tasks), dtype=bool), np.ones(len(tasks), dtype=bool)
    for pool in pools:
        done[pool.labelled] = True
        open_[pool.closed] = False
    return done, open_ & ~done & ~np.isin(tasks, np.fromiter(avoid, dtype=np.int64, count=len(avoid)))


def _is_one_sided(pool: Pool) -> bool:
    """Whether the labelled rows, ONE_SIDED at least, are all answered alike."""
    known = pool.probabilities[np.setdiff1d(pool.labelled, pool.hidden)]
    if len(known) < ONE_SIDED:
        return False
    answers = known >= pool.threshold if pool.multilabel else known.argmax(1)
    return len(np.unique(answers, axis=0)) < 2


def _due(share: float, size: int, labelled: int, mine: int) -> int:
    """How many tasks of a role to place, when of `labelled` tasks `mine` are of that role."""
    wanted = (
        round(share * (labelled + LEAST_LABELLED_SHARE * size) + 0.5) if share > 0 else 0
    )  # at least one to begin with
    return int(min(max(0, wanted - mine), max(1, MOST_RESERVED / 2 * size)))


def _first(members: NDArray[np.bool_], shares: Floats, count: int) -> list[int]:
    """The first `count` rows of a role in hash order."""
    rows = np.flatnonzero(members)
    found: list[int] = rows[np.argsort(shares[rows], kind="stable")][:count].tolist()
    return found


def _top_up(rows: dict[Role, list[int]], reserved: Mapping[Role, NDArray[np.bool_]], shares: Floats, size: int) -> None:
    """When nothing is left to choose the reserved tasks go on in hash order, in their roles."""
    for role, members in reserved.items():
        missing = size - sum(map(len, rows.values()))
        rest = np.setdiff1d(np.flatnonzero(members), rows[role])
        rows[role] += rest[np.argsort(shares[rest], kind="stable")][: max(0, missing)].tolist()


def _choose_in_turn(pools: Sequence[Pool], free: NDArray[np.bool_], strategy: str, count: int, seed: int) -> list[int]:
    """`count` distinct rows: each control's best, then each one's second best, and so on; last those whose page asks
    nothing that is learned."""
    found: dict[int, None] = {}
    free = free.copy()
    asked = np.zeros(len(free), dtype=bool)
    for pool in pools:
        shown = np.ones(len(free), dtype=bool)
        shown[pool.hidden] = False
        asked |= shown
    while len(found) < count and (free & asked).any():
        each = -(-(count - len(found)) // len(pools))
        picks = [choose(strategy, _closing(pool, free), each, seed + turn) for turn, pool in enumerate(pools)]
        found.update(dict.fromkeys(int(row) for row in _in_turn(picks)))
        free[list(found)] = False  # controls that agree leave room for more
    return [*found, *np.flatnonzero(free).tolist()][:count]


def _closing(pool: Pool, free: NDArray[np.bool_]) -> Pool:
    return replace(pool, closed=np.flatnonzero(~free))


def _in_turn(picks: Sequence[Rows]) -> Iterator[int]:
    return (row for row in chain.from_iterable(zip_longest(*picks)) if row is not None)


def _list(
    rows: Mapping[Role, Sequence[int]], tasks: Rows, confidence: Floats, hunts: Mapping[int, int]
) -> list[QueueEntry]:
    """The places, blind ones first. `hunts`: of the hunted rows."""
    found: list[QueueEntry] = []
    for role, members in rows.items():
        for row in members:
            cluster = None if role == "chosen" else len(found)
            found.append(QueueEntry(int(tasks[row]), row, float(confidence[row]), cluster, role, hunts.get(row)))
    return found
