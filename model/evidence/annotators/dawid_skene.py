"""How reliable each annotator is, and what the answers to a task are worth together: regularised Dawid-Skene.

Dawid and Skene (1979) explain the answers by one confusion matrix per annotator and find both by EM. With few shared
tasks that has far too many parameters, so here every matrix is shrunk towards a one-coin model (one accuracy, errors
spread evenly), as strongly as the annotator's own answers ask for: the concentration of the Dirichlet prior is the one
under which they are likeliest (empirical Bayes). Decision 0004 has the reasons and the numbers.

What is estimated are numbers of people and classes alone: items are gone through in parts, and hold no memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import gammaln

from model.numerics.arrays import Floats, SparseRows

Ints = NDArray[np.integer]

ACCURACY, ACCURACY_COUNT = 0.8, 10.0
"""An annotator of whom nothing is known is right 8 times in 10; that belief is worth 10 answers. With 4, the
worst of 20 simulated projects was up to twice as far below the plain vote; with 20, a fifth of the gain was gone."""

SHRINKAGE_ANSWERS = (10.0, 30.0, 100.0, 1000.0)
"""Concentrations tried for the shrinkage, in answers."""

STEPS, TOLERANCE = 50, 1e-3
CHOOSE_EVERY = 5
"""The concentrations settle early, and choosing them is the dearest part of a step."""

MOST_OPERATIONS = 8_000_000
"""Answers x classes x steps; beyond, fewer steps (at least 5): 1,000 tasks x 3 people x 77 classes take .4 s."""

MOST_CELLS = 1_000_000
"""Annotators x classes x classes above which no confusion matrix is estimated."""

PART_CELLS = 500_000
"""Answers x classes that are computed with at a time: 4 MB of each array."""


@dataclass(frozen=True)
class Votes:
    """Answers in long form. Item i is a task (for sets: a task and a label), `given` a class in [0, classes).

    `items` (ascending), `annotators`, `given`, `shares` [m]: a share under 1 is one of several labels in one answer.
    `known` [n] is an item's true class or -1; `groups` [n] numbers the prior that an item has (for sets: one per
    label); `times` [n] says how often it occurs: items with the same answers may be given once."""

    items: Ints
    annotators: Ints
    given: Ints
    shares: Floats
    known: Ints
    groups: Ints
    times: Floats
    people: int
    classes: int

    def parts(self) -> Iterator[Votes]:
        """The same in portions of about PART_CELLS."""
        size = max(1, PART_CELLS // max(1, self.classes * max(1, len(self.items) // max(1, len(self.known)))))
        for start in range(0, len(self.known), size):
            end = min(start + size, len(self.known))
            first, last = np.searchsorted(self.items, [start, end])
            rows, own = slice(first, last), slice(start, end)
            yield replace(
                self,
                items=self.items[rows] - start,
                annotators=self.annotators[rows],
                given=self.given[rows],
                shares=self.shares[rows],
                known=self.known[own],
                groups=self.groups[own],
                times=self.times[own],
            )

    def count(self, posterior: Floats) -> Floats:
        """Expected answers [people, given, true] under what each item's answer is [n, classes]."""
        rows = np.arange(len(self.items))
        weights, cells = self.shares * self.times[self.items], self.annotators * self.classes + self.given
        by_answer = csr_matrix((weights, (cells, rows)), shape=(self.people * self.classes, len(rows)))
        counted: Floats = by_answer @ posterior[self.items]
        return counted.reshape(self.people, self.classes, self.classes)

    def totals(self, posterior: Floats, groups: int) -> Floats:
        """Expected items [groups, classes]."""
        shape = (groups, len(self.known))
        totals: Floats = csr_matrix((self.times, (self.groups, np.arange(len(self.known)))), shape=shape) @ posterior
        return totals

    def majority(self) -> Floats:
        """[n, classes]: what the plain vote says."""
        counted = self._by_item() @ np.eye(self.classes)[self.given]
        return self._fix(counted / np.maximum(counted.sum(1, keepdims=True), 1e-12))

    def believe(self, belief: Belief) -> Floats:
        """[n, classes]: what each item's answer is, by what is known of people and classes."""
        logs = belief.logs.reshape(-1, self.classes)
        joint = belief.priors[self.groups] + self._by_item() @ logs[self.annotators * self.classes + self.given]
        joint = np.exp(joint - joint.max(1, keepdims=True))
        return self._fix(joint / joint.sum(1, keepdims=True))

    def _by_item(self) -> SparseRows:
        rows = np.arange(len(self.items))
        return csr_matrix((self.shares, (self.items, rows)), shape=(len(self.known), len(rows)))

    def _fix(self, posterior: Floats) -> Floats:
        """Items whose truth is known keep it."""
        return np.where((self.known >= 0)[:, None], np.eye(self.classes)[np.maximum(self.known, 0)], posterior)


@dataclass(frozen=True)
class Belief:
    """What is known of people and classes: `accuracy` [people], share of right answers expected; `logs` [people, given,
    true], of the probability of an answer given the truth; `priors` [groups, classes], logs too; `counts` [people,
    given, true], answers expected under the posteriors that follow."""

    accuracy: Floats
    logs: Floats
    priors: Floats
    counts: Floats

    def f1(self) -> Floats:
        """[people]: of two classes, no and yes, that of the answer yes."""
        hits, given, true = self.counts[:, 1, 1], self.counts[:, 1].sum(1), self.counts[:, :, 1].sum(1)
        return 2 * hits / np.maximum(given + true, 1e-12)


@dataclass(frozen=True)
class Shrinkage:
    """The prior beliefs; a test sets them to nothing to get plain Dawid-Skene."""

    accuracy: float = ACCURACY
    count: float = ACCURACY_COUNT
    strengths: tuple[float, ...] = SHRINKAGE_ANSWERS
    class_count: float = 1.0
    steps: int = STEPS
    tolerance: float = TOLERANCE


def estimate(votes: Votes, shrinkage: Shrinkage | None = None) -> Belief | None:
    """What is known of people and classes; None when there is too much to estimate or the solution cannot be trusted.

    No answer ever counts against the label it names: a vote for A makes A likelier than anything else, also from
    somebody who is mostly wrong. So labels cannot be swapped.
    """
    if votes.people * votes.classes**2 > MOST_CELLS or len(votes.items) == 0:
        return None
    run = _Expectation(votes, shrinkage or Shrinkage())
    work = max(1, len(votes.items) * votes.classes)
    steps = int(np.clip(MOST_OPERATIONS // work, 5, run.shrinkage.steps))
    belief: Belief | None = None
    for step in range(steps):
        belief, moved = run.advance(belief, choose=step % CHOOSE_EVERY == 0)
        if moved < run.shrinkage.tolerance:
            break
    return belief if belief is not None and run.is_sane(belief) else None


@dataclass
class Verdict:
    """Whether answers are still those of the majority where it is clear; of items in any number of parts."""

    classes: int
    _changed: float = 0.0
    _won: Floats = field(init=False)
    _left: Floats = field(init=False)

    def __post_init__(self) -> None:
        self._won, self._left = np.zeros(self.classes), np.zeros(self.classes)

    def hear(self, majority: Floats, posterior: Floats, votes: Votes) -> None:
        """Both [n, classes]."""
        clear = (votes.known < 0) & (majority.max(1, initial=0) > 0.5)
        won, kept, times = majority[clear].argmax(1), posterior[clear].argmax(1), votes.times[clear]
        self._changed += float(times[won != kept].sum())
        self._won += np.bincount(won, times, minlength=self.classes)
        self._left += np.bincount(kept, times, minlength=self.classes)

    def is_sane(self) -> bool:
        """Give and take a third of them. False as well when a class loses every one of the items that it clearly had,
        and these were three or more."""
        if self._changed > self._won.sum() / 3:
            return False
        return not bool(((self._won >= 3) & (self._left == 0)).any())


@dataclass
class _Expectation:
    """EM over fixed votes, part by part: of each step only sums are kept. Where there is but one part its posterior
    is, too."""

    votes: Votes
    shrinkage: Shrinkage
    _strength: Floats = field(init=False)
    _sums: tuple[Floats, Floats] = field(init=False)
    """Answers [people, given, true] and items [groups, classes] expected under the last posteriors."""
    _last: Floats | None = None

    def __post_init__(self) -> None:
        self._sweep(None, None)

    def advance(self, belief: Belief | None, *, choose: bool) -> tuple[Belief, float]:
        """The next belief (None: before it was the plain vote), and how far the posterior of any item has moved."""
        counts, totals = self._sums
        after = self._people(counts, totals, choose=choose)
        moved = self._sweep(after, belief)
        return replace(after, counts=self._sums[0]), moved

    def is_sane(self, belief: Belief) -> bool:
        verdict = Verdict(self.votes.classes)
        for part in self.votes.parts():
            verdict.hear(part.majority(), part.believe(belief), part)
        return verdict.is_sane()

    def _sweep(self, after: Belief | None, before: Belief | None) -> float:
        """Sums anew, of the posteriors under `after`; the most that one differs from that under `before`."""
        votes, groups = self.votes, int(self.votes.groups.max()) + 1
        counts, totals = np.zeros((votes.people, votes.classes, votes.classes)), np.zeros((groups, votes.classes))
        moved, last = 0.0, self._last
        for part in votes.parts():
            posterior = part.majority() if after is None else part.believe(after)
            if after is not None:
                was = last if last is not None else part.majority() if before is None else part.believe(before)
                moved = max(moved, float(np.abs(posterior - was).max()))
            counts += part.count(posterior)
            totals += part.totals(posterior, groups)
            self._last = posterior if len(part.known) == len(votes.known) else None
        self._sums = counts, totals
        return moved

    def _people(self, counts: Floats, totals: Floats, *, choose: bool) -> Belief:
        votes, prior = self.votes, self.shrinkage
        eye, chance = np.eye(votes.classes, dtype=bool), 1 / votes.classes
        right, answers = counts[:, eye].sum(1), counts.sum((1, 2))
        accuracy = (right + prior.count * prior.accuracy) / (answers + prior.count)
        accuracy = np.clip(accuracy, chance, 1 - 1e-9)
        wrong = (1 - accuracy) / max(1, votes.classes - 1)
        coin = np.where(eye, accuracy[:, None, None], wrong[:, None, None])
        if choose:
            self._strength = _choose_strength(counts, coin, prior.strengths)
        strength = self._strength[:, None, None]
        confusion = (counts + strength * coin) / (counts.sum(1, keepdims=True) + strength)
        own = confusion[:, eye]
        logs = np.log(np.maximum(np.minimum(confusion, own[:, :, None]), 1e-12))
        classes = totals + prior.class_count
        return Belief(accuracy, logs, np.log(classes / classes.sum(1, keepdims=True)), counts)


def _choose_strength(counts: Floats, coin: Floats, strengths: tuple[float, ...]) -> Floats:
    """Per annotator the concentration [people] under which the counts [people, given, true] are likeliest
    (Dirichlet-multinomial around the one-coin model)."""
    totals = counts.sum(1)
    found = []
    for strength in strengths:
        around = strength * np.maximum(coin, 1e-12)
        rows = gammaln(strength) - gammaln(strength + totals)
        found.append(rows.sum(1) + (gammaln(counts + around) - gammaln(around)).sum((1, 2)))
    chosen: Floats = np.array(strengths)[np.argmax(found, axis=0)]
    return chosen
