"""The next batch of the labelling queue: which tasks, in which role, in which of Label Studio's clusters. Pure.

Label Studio hands out, of the queue's tasks, one of the cluster of which the annotator has solved fewest, there the one
with the lowest score: so clusters are dealt such that each role gets its share of what everybody labels. With several
annotators it hands out any of them: so the batch holds the roles in the same proportion.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

from model.acquisition import Pool, choose

Floats = NDArray[np.floating]
Rows = NDArray[np.int64]
Role = Literal["chosen", "explore", "blind"]

CLUSTERS = 20
"""Of all roles together: one of them is 5 % of what an annotator labels."""

WINDOW = 4
"""How far the reserved tasks of a role may be labelled out of turn, as a multiple of those placed at a time. Within a
cluster the lowest score goes first; without a bound the surest would wait for ever, and the sample would lack them."""


@dataclass(frozen=True)
class Place:
    """One task of the queue. `row` is that of the pools; `confidence` goes to Label Studio as the score."""

    task: int
    row: int
    confidence: float
    cluster: int
    role: Role


def share_of(project: int, task: int) -> float:
    """A number in [0, 1) that belongs to the task for ever, the same in all processes, as good as drawn at random."""
    return (xxhash.xxh3_64_intdigest(struct.pack("<qq", project, task)) >> 11) / (1 << 53)


def is_blind(project: int, task: int, blind_share: float) -> bool:
    """Whether the task is never chosen and never pre-labelled: an unbiased hold-out."""
    return share_of(project, task) < blind_share


def is_explored(project: int, task: int, blind_share: float, explore_share: float) -> bool:
    """Whether the task is never chosen, but pre-labelled: it differs from a blind one in that alone."""
    return blind_share <= share_of(project, task) < blind_share + explore_share


def labelled_prefix(shares: Mapping[int, float], labelled: Collection[int]) -> list[int]:
    """Of the tasks of one role (task -> its share) those labelled before the first unlabelled one, in hash order: a
    random sample of the project whatever the queue preferred. Leave tasks out that nobody will label (skipped)."""
    found: list[int] = []
    for task in sorted(shares, key=lambda task: (shares[task], task)):
        if task not in labelled:
            break
        found.append(task)
    return found


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
) -> list[Place]:
    """`size` places, or all tasks that are left: blind, explored, then chosen ones in the order of their choice.

    `pools`: one per control over the same rows; `tasks` and `confidence` [n] belong to the rows. `avoid`: tasks that
    nobody is to be given (skipped, drafted). A row that has a label for any control is done. Several controls choose in
    turn. Raises ValueError when lengths differ, KeyError for an unknown strategy."""
    if not pools or any(len(pool.probabilities) != len(tasks) for pool in pools) or len(tasks) != len(confidence):
        raise ValueError("pools, tasks and confidence: one pool at least, and as many rows everywhere")
    shares = np.array([share_of(project, int(task)) for task in tasks])
    blind, explored = shares < blind_share, (shares >= blind_share) & (shares < blind_share + explore_share)
    open_ = np.ones(len(tasks), dtype=bool)
    for pool in pools:
        open_[pool.labelled] = open_[pool.closed] = False
    avoided = np.isin(tasks, np.fromiter(avoid, dtype=np.int64, count=len(avoid)))
    open_ &= ~avoided

    rows: dict[Role, list[int]] = {
        "blind": _reserved(blind & ~avoided, open_, shares, _places(size, blind_share)),
        "explore": _reserved(explored & ~avoided, open_, shares, _places(size, explore_share)),
    }
    left = max(0, size - sum(map(len, rows.values())))
    free = open_ & ~blind & ~explored
    rows["chosen"] = _choose_in_turn(pools, free, strategy, min(left, int(free.sum())), seed)
    _top_up(rows, {"blind": blind & open_, "explore": explored & open_}, shares, size)
    return _deal(rows, tasks, confidence, blind_share, explore_share)[:size]


def next_place(
    places: Iterable[Place],
    solved: Mapping[int, int],
    taken: Collection[int],
    generator: np.random.Generator | None = None,
) -> Place | None:
    """What Label Studio would hand out: `solved`: cluster -> how many of its tasks the annotator has labelled;
    `taken`: tasks that are labelled or locked. With a generator as for one of several annotators: any of them.

    From `_try_uncertainty_sampling` of Label Studio 1.23 (projects/functions/next_task.py)."""
    left = [place for place in places if place.task not in taken]
    if not left:
        return None
    if generator is not None:
        return left[int(generator.integers(len(left)))]
    return min(left, key=lambda place: (solved.get(place.cluster, 0), place.confidence, place.task))


def _places(size: int, share: float) -> int:
    return max(1, round(size * share)) if share > 0 else 0


def _reserved(members: NDArray[np.bool_], open_: NDArray[np.bool_], shares: Floats, count: int) -> list[int]:
    """The first `count` unlabelled rows of a role in hash order, none of them far behind the first."""
    order = np.flatnonzero(members)
    order = order[np.argsort(shares[order], kind="stable")]
    ranks = np.flatnonzero(open_[order])
    return [int(order[rank]) for rank in ranks[:count] if rank < ranks[0] + WINDOW * count]


def _top_up(rows: dict[Role, list[int]], reserved: Mapping[Role, NDArray[np.bool_]], shares: Floats, size: int) -> None:
    """When nothing is left to choose the reserved tasks go on in hash order, in their roles."""
    for role, members in reserved.items():
        missing = size - sum(map(len, rows.values()))
        rest = np.setdiff1d(np.flatnonzero(members), rows[role])
        rows[role] += rest[np.argsort(shares[rest], kind="stable")][: max(0, missing)].tolist()


def _choose_in_turn(pools: Sequence[Pool], free: NDArray[np.bool_], strategy: str, count: int, seed: int) -> list[int]:
    """`count` distinct rows: each control's best, then each one's second best, and so on."""
    found: dict[int, None] = {}
    free = free.copy()
    while len(found) < count:
        each = -(-(count - len(found)) // len(pools))
        picks = [choose(strategy, _closing(pool, free), each, seed + turn) for turn, pool in enumerate(pools)]
        found.update(dict.fromkeys(int(row) for row in _in_turn(picks)))
        free[list(found)] = False  # controls that agree leave room for more
    return list(found)[:count]


def _closing(pool: Pool, free: NDArray[np.bool_]) -> Pool:
    return replace(pool, closed=np.flatnonzero(~free))


def _in_turn(picks: Sequence[Rows]) -> Iterator[int]:
    return (row for row in chain.from_iterable(zip_longest(*picks)) if row is not None)


def _deal(
    rows: Mapping[Role, Sequence[int]], tasks: Rows, confidence: Floats, blind_share: float, explore_share: float
) -> list[Place]:
    """Each role's rows over its clusters in turn: the first clusters are the blind ones', the next the explored."""
    places: list[Place] = []
    first = 0
    counts: dict[Role, int] = {"blind": _places(CLUSTERS, blind_share), "explore": _places(CLUSTERS, explore_share)}
    counts["chosen"] = max(1, CLUSTERS - sum(counts.values()))
    for role, width in counts.items():
        for turn, row in enumerate(rows[role]):
            cluster = first + turn % max(1, width)
            places.append(Place(int(tasks[row]), row, float(confidence[row]), cluster, role))
        first += width
    return places
