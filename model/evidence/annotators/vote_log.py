"""The answers to tasks that several people have answered, as numbers; and what they come to.

Tasks that were answered alike are kept once: memory grows with what is said, and not where it is said again. Ground
truths are no votes: they say what the task's answer is. Unnamed people cannot be told apart and vote as one.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import numpy as np

from model.evidence.annotators.dawid_skene import Belief, Votes, estimate
from model.numerics.arrays import Floats
from model.spec import NONE

NEGLIGIBLE_SHARE = 0.005
"""Shares below are dropped from a target."""


Vote = tuple[int | None, Sequence[str], bool]
"""One person's answer to a task: who, the labels (none: left blank, of sets the empty one), whether it is a ground
truth."""


class _Said(NamedTuple):
    """A vote in numbers."""

    person: int
    sure: bool
    keys: tuple[int, ...]


@dataclass
class _Items:
    """What is voted on, in long form; 20 bytes a vote and 16 an item."""

    items: array[int] = field(default_factory=lambda: array("i"))
    people: array[int] = field(default_factory=lambda: array("i"))
    given: array[int] = field(default_factory=lambda: array("i"))
    shares: array[float] = field(default_factory=lambda: array("d"))
    known: array[int] = field(default_factory=lambda: array("i"))
    groups: array[int] = field(default_factory=lambda: array("i"))
    times: array[float] = field(default_factory=lambda: array("d"))

    def add(self, said: Iterable[tuple[int, int, float]], known: int, group: int = 0, times: float = 1.0) -> int:
        """`said`: (person, class, share); the number of the item."""
        number = len(self.known)
        for person, given, share in said:
            self.items.append(number)
            self.people.append(person)
            self.given.append(given)
            self.shares.append(share)
        self.known.append(known)
        self.groups.append(group)
        self.times.append(times)
        return number

    def votes(self, people: int, classes: int) -> Votes:
        """The arrays' own memory."""
        return Votes(
            np.asarray(self.items),
            np.asarray(self.people),
            np.asarray(self.given),
            np.asarray(self.shares),
            np.asarray(self.known),
            np.asarray(self.groups),
            np.asarray(self.times),
            people,
            classes,
        )


@dataclass(frozen=True)
class Jury:
    """Who votes for what, and how far each is believed. For sets every (task, label) is an item with the answers no and
    yes, and a person has one confusion matrix over all labels."""

    is_set: bool
    labels: Mapping[str, int]
    people: Mapping[int | None, int]
    belief: Belief

    def reliability(self) -> dict[int, float]:
        """Named person -> share of right answers; for sets F1, since most labels are unset in most tasks and anybody
        would be right about most of them."""
        values = self.belief.f1() if self.is_set else self.belief.accuracy
        return {who: round(float(values[place]), 4) for who, place in self.people.items() if who is not None}

    def targets(self, tasks: Mapping[int, Sequence[Vote]]) -> dict[int, dict[str, float]]:
        """Task -> label -> share; labels that nobody gave get nothing. Tasks with a label or a person that is not known
        are missing."""
        items, places = _Items(), {}
        for votes in {tuple(votes) for votes in tasks.values()}:
            named = sorted({key for _, keys, _ in votes for key in self._filled(keys)})
            if all(key in self.labels for key in named) and all(who in self.people for who, _, _ in votes):
                places[votes] = list(self._place(items, votes, named))
        posterior = (
            items.votes(len(self.people), self.classes).believe(self.belief) if items.known else np.zeros((0, 0))
        )
        shares = {votes: self._shares(posterior, own) for votes, own in places.items()}
        return {task: own for task, votes in tasks.items() if (own := shares.get(tuple(votes))) is not None}

    @property
    def classes(self) -> int:
        """Of an item."""
        return 2 if self.is_set else len(self.labels)

    def _filled(self, keys: Sequence[str]) -> Sequence[str]:
        return keys if keys or self.is_set else (NONE,)

    def _place(self, items: _Items, votes: Sequence[Vote], named: Sequence[str]) -> Iterator[tuple[str, int, int]]:
        """Label, item, class: whose posterior is the label's share."""
        said = [
            _Said(self.people[who], sure, tuple(self.labels[key] for key in self._filled(keys)))
            for who, keys, sure in votes
        ]
        if self.is_set:
            truth = _truth(said)
            for key in named:
                label = self.labels[key]
                yield key, items.add(_yes_or_no(said, label), _holds(truth, label), label), 1
        else:
            item = items.add(_choices(said), _known_choice(said))
            yield from ((key, item, self.labels[key]) for key in named)

    def _shares(self, posterior: Floats, places: Sequence[tuple[str, int, int]]) -> dict[str, float]:
        shares = {key: float(posterior[item, column]) for key, item, column in places}
        return {k: v for k, v in shares.items() if v > NEGLIGIBLE_SHARE} if self.is_set else _normalise(shares)


class VoteLog:
    """Votes on shared tasks, task by task; 60 to 150 bytes for each combination of answers that is not there yet."""

    def __init__(self) -> None:
        self._people: dict[int | None, int] = {}
        self._labels: dict[str, int] = {}
        self._times: Counter[bytes] = Counter()

    def add(self, votes: Iterable[Vote]) -> None:
        """Of one task."""
        said = sorted(self._encode(vote) for vote in votes)
        self._times[array("i", chain.from_iterable(said)).tobytes()] += 1

    def _encode(self, vote: Vote) -> tuple[int, ...]:
        who, keys, sure = vote
        numbers = sorted(self._labels.setdefault(key, len(self._labels)) for key in keys)
        return 2 * self._people.setdefault(who, len(self._people)) + sure, len(numbers), *numbers

    def judge(self, is_set: bool) -> Jury | None:
        """None where there is nothing, or not to be trusted."""
        rank = self._rank(is_set)
        labels = {label: place for place, label in enumerate(rank)}
        order = [labels[label] for label in self._labels]
        blank = () if is_set else (labels.get(NONE, 0),)
        ordered = sorted(self._people, key=lambda who: (who is None, who or 0))
        people = {who: place for place, who in enumerate(ordered)}
        seats = [people[who] for who in self._people]
        if not labels:
            return None
        tasks = ((_decode(code, order, seats, blank), times) for code, times in self._times.items())
        items = _set_items(tasks, len(labels)) if is_set else _choice_items(tasks)
        belief = estimate(items.votes(len(people), 2 if is_set else len(labels)))
        return None if belief is None else Jury(is_set, labels, people, belief)

    def _rank(self, is_set: bool) -> list[str]:
        """The labels in their order, with NONE where somebody has answered with nothing."""
        blank = not is_set and any(not one.keys for code in self._times for one in _decode(code))
        return sorted({*self._labels, *((NONE,) if blank else ())})


def _decode(
    code: bytes, order: Sequence[int] | None = None, seats: Sequence[int] | None = None, blank: tuple[int, ...] = ()
) -> list[_Said]:
    """By the final numbers of labels and people, where there are such."""
    numbers, found, place = array("i", code), [], 0
    while place < len(numbers):
        who, size = numbers[place : place + 2]
        own = numbers[place + 2 : place + 2 + size]
        keys = tuple(own) if order is None else tuple(order[key] for key in own)
        found.append(_Said(who // 2 if seats is None else seats[who // 2], bool(who % 2), keys or blank))
        place += 2 + size
    return found


def _choice_items(tasks: Iterable[tuple[Sequence[_Said], int]]) -> _Items:
    items = _Items()
    for said, times in tasks:
        items.add(_choices(said), _known_choice(said), times=times)
    return items


def _set_items(tasks: Iterable[tuple[Sequence[_Said], int]], labels: int) -> _Items:
    """An item a label of a task, alike ones once. Nearly all are those that nobody set: these are counted by who
    answered."""
    named: Counter[tuple[int, int, tuple[tuple[int, int, float], ...]]] = Counter()
    unset: dict[tuple[int, tuple[tuple[int, int, float], ...]], list[int]] = {}
    for said, times in tasks:
        truth = _truth(said)
        nobody = tuple((one.person, 0, 1.0) for one in said if not one.sure)
        left = unset.setdefault((-1 if truth is None else 0, nobody), [0] * (labels + 1))
        left[labels] += times
        for label in {key for one in said for key in one.keys}:
            named[label, _holds(truth, label), tuple(_yes_or_no(said, label))] += times
            left[label] += times
    items = _Items()
    for (label, known, votes), times in named.items():
        items.add(votes, known, label, times)
    for (known, votes), left in unset.items():
        for label in range(labels):
            if (times := left[labels] - left[label]) > 0:
                items.add(votes, known, label, times)
    return items


def _choices(said: Iterable[_Said]) -> Iterator[tuple[int, int, float]]:
    return ((one.person, key, 1 / len(one.keys)) for one in said if not one.sure for key in one.keys)


def _yes_or_no(said: Iterable[_Said], label: int) -> Iterator[tuple[int, int, float]]:
    return ((one.person, int(label in one.keys), 1.0) for one in said if not one.sure)


def _known_choice(said: Iterable[_Said]) -> int:
    """The class that the ground truth gives to a task, -1 without one (or with two that differ)."""
    keys = _truth(said)
    return keys[0] if keys is not None and len(keys) == 1 else -1


def _holds(truth: tuple[int, ...] | None, label: int) -> int:
    """Whether the ground truth has the label, -1 without one."""
    return -1 if truth is None else int(label in truth)


def _truth(said: Iterable[_Said]) -> tuple[int, ...] | None:
    """What the ground truth says, which may be nothing; None without one, or with two that differ."""
    found: tuple[int, ...] | None = None
    for one in said:
        if one.sure:
            keys = tuple(sorted(one.keys))
            if found is not None and found != keys:
                return None
            found = keys
    return found


def _normalise(shares: Mapping[str, float]) -> dict[str, float]:
    top = max(shares.values(), default=0.0)
    kept = {label: share for label, share in shares.items() if share > NEGLIGIBLE_SHARE * top}
    total = sum(kept.values())
    return {label: share / total for label, share in kept.items()} if total else {}
