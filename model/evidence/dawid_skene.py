"""How reliable each annotator is, and what the answers to a task are worth together: regularised Dawid-Skene.

Dawid and Skene (1979) explain the answers by one confusion matrix per annotator and find both by EM. With few shared
tasks that has far too many parameters, so here every matrix is shrunk towards a one-coin model (one accuracy, errors
spread evenly), as strongly as the annotator's own answers ask for: the concentration of the Dirichlet prior is the one
under which they are likeliest (empirical Bayes). Decision 0004 has the reasons and the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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


@dataclass(frozen=True)
class Votes:
    """Answers in long form. Item i is a task (for sets: a task and a label), `given` a class in [0, classes).

    `items`, `annotators`, `given`, `shares` [m]: a share under 1 is one of several labels in one answer. `known` [n]
    is an item's true class or -1; `groups` [n] numbers the prior that an item has (for sets: one per label);
    `times` [n] says how often it occurs: items with the same answers may be given once."""

    items: Ints
    annotators: Ints
    given: Ints
    shares: Floats
    known: Ints
    groups: Ints
    times: Floats
    people: int
    classes: int


@dataclass(frozen=True)
class Estimate:
    """`posterior` [n, classes]: what each item's answer is; `accuracy` [people]: share of right answers expected."""

    posterior: Floats
    accuracy: Floats


@dataclass(frozen=True)
class Shrinkage:
    """The prior beliefs; a test sets them to nothing to get plain Dawid-Skene."""

    accuracy: float = ACCURACY
    count: float = ACCURACY_COUNT
    strengths: tuple[float, ...] = SHRINKAGE_ANSWERS
    class_count: float = 1.0
    steps: int = STEPS
    tolerance: float = TOLERANCE


def estimate(votes: Votes, shrinkage: Shrinkage | None = None) -> Estimate | None:
    """Reliability and answers; None when there is too much to estimate or the solution cannot be trusted.

    No answer ever counts against the label it names: a vote for A makes A likelier than anything else, also from
    somebody who is mostly wrong. So labels cannot be swapped.
    """
    if votes.people * votes.classes**2 > MOST_CELLS or len(votes.items) == 0:
        return None
    shrinkage = shrinkage or Shrinkage()
    run = _Expectation(votes, shrinkage)
    work = max(1, len(votes.items) * votes.classes)
    steps = int(np.clip(MOST_OPERATIONS // work, 5, shrinkage.steps))
    posterior: Floats = run.majority
    accuracy: Floats = np.zeros(votes.people)
    for step in range(steps):
        accuracy, confusion = run.people(posterior, choose=step % CHOOSE_EVERY == 0)
        after = run.items(posterior, confusion)
        moved = float(np.abs(after - posterior).max())
        posterior = after
        if moved < shrinkage.tolerance:
            break
    return Estimate(posterior, accuracy) if is_sane(run.majority, posterior, votes) else None


def is_sane(majority: Floats, posterior: Floats, votes: Votes) -> bool:
    """Whether the answers [n, K] are still those of the majority where it is clear, give and take a third of them.

    False as well when a class loses every one of the items that it clearly had, and these were three or more."""
    clear = (votes.known < 0) & (majority.max(1) > 0.5)
    if not clear.any():
        return True
    won, kept, times = majority[clear].argmax(1), posterior[clear].argmax(1), votes.times[clear]
    if np.average(won != kept, weights=times) > 1 / 3:
        return False
    counts = np.bincount(won, times, minlength=votes.classes)
    left = np.bincount(kept, times, minlength=votes.classes)
    return not bool(((counts >= 3) & (left == 0)).any())


@dataclass
class _Expectation:
    """The two halves of an EM step over fixed votes."""

    votes: Votes
    shrinkage: Shrinkage
    majority: Floats = field(init=False)
    _by_item: SparseRows = field(init=False)
    _by_answer: SparseRows = field(init=False)
    _strength: Floats = field(init=False)

    def __post_init__(self) -> None:
        votes, rows = self.votes, np.arange(len(self.votes.items))
        self._cells = votes.annotators * votes.classes + votes.given
        self._by_item = csr_matrix((votes.shares, (votes.items, rows)), shape=(len(votes.known), len(rows)))
        shape = (votes.people * votes.classes, len(rows))
        self._counted = votes.shares * votes.times[votes.items]
        self._by_answer = csr_matrix((self._counted, (self._cells, rows)), shape=shape)
        self._group = csr_matrix((votes.times, (votes.groups, np.arange(len(votes.known)))))
        self._answers = np.bincount(votes.annotators, self._counted, minlength=votes.people)
        self._eye = np.eye(votes.classes, dtype=bool)
        counted = self._by_item @ np.eye(votes.classes)[votes.given]
        self.majority = self._fix(counted / np.maximum(counted.sum(1, keepdims=True), 1e-12))

    def people(self, posterior: Floats, *, choose: bool) -> tuple[Floats, Floats]:
        """Accuracy [people], and confusion [people, given, true]: the probability of an answer given the truth."""
        votes, prior = self.votes, self.shrinkage
        chance = 1 / votes.classes
        hits = self._counted * posterior[votes.items, votes.given]
        right = np.bincount(votes.annotators, hits, minlength=votes.people)
        accuracy = (right + prior.count * prior.accuracy) / (self._answers + prior.count)
        accuracy = np.clip(accuracy, chance, 1 - 1e-9)
        wrong = (1 - accuracy) / max(1, votes.classes - 1)
        coin = np.where(self._eye, accuracy[:, None, None], wrong[:, None, None])
        counts = (self._by_answer @ posterior[votes.items]).reshape(votes.people, votes.classes, votes.classes)
        if choose:
            self._strength = _choose_strength(counts, coin, prior.strengths)
        strength = self._strength[:, None, None]
        confusion = (counts + strength * coin) / (counts.sum(1, keepdims=True) + strength)
        own = confusion[:, self._eye]
        return accuracy, np.minimum(confusion, own[:, :, None])

    def items(self, posterior: Floats, confusion: Floats) -> Floats:
        """What each item's answer is [n, classes]."""
        votes = self.votes
        totals = self._group @ posterior + self.shrinkage.class_count
        priors = np.log(totals / totals.sum(1, keepdims=True))
        logs = np.log(np.maximum(confusion, 1e-12)).reshape(-1, votes.classes)
        joint = priors[votes.groups] + self._by_item @ logs[self._cells]
        joint = np.exp(joint - joint.max(1, keepdims=True))
        return self._fix(joint / joint.sum(1, keepdims=True))

    def _fix(self, posterior: Floats) -> Floats:
        """Items whose truth is known keep it."""
        known = self.votes.known
        return np.where((known >= 0)[:, None], np.eye(self.votes.classes)[np.maximum(known, 0)], posterior)


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
