"""Reliability: better than the plain vote for simulated people, equal to crowd-kit's when it is not regularised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from model.evidence.annotators import dawid_skene
from model.evidence.annotators.dawid_skene import Shrinkage, Verdict, Votes, estimate

GOOD_MEDIOCRE_SPAMMER = (0.95, 0.7, None)


def simulate(
    seed: int, tasks: int, classes: int, people: Sequence[float | None], each: int | None = None, lazy: bool = False
) -> tuple[Any, Votes]:
    """(truth, votes) of people who are right that often; None guesses, or (lazy) always says class 0."""
    random = np.random.default_rng(seed)
    truth = random.choice(classes, tasks, p=random.dirichlet(np.full(classes, 5.0)))
    asked = np.argsort(random.random((tasks, len(people))), axis=1)[:, : each or len(people)]
    items, who = np.repeat(np.arange(tasks), asked.shape[1]), asked.ravel()
    wrong = (truth[items] + random.integers(1, classes, len(items))) % classes
    rates = np.array([1 / classes if rate is None else rate for rate in people])
    given = np.where(random.random(len(items)) < rates[who], truth[items], wrong)
    if lazy:
        given = np.where(np.isin(who, [i for i, rate in enumerate(people) if rate is None]), 0, given)
    return truth, votes_of(items, who, given, tasks, len(people), classes)


def votes_of(items: Any, who: Any, given: Any, tasks: int, people: int, classes: int, known: Any = None) -> Votes:
    known = np.full(tasks, -1) if known is None else known
    return Votes(items, who, given, np.ones(len(items)), known, np.zeros(tasks, int), np.ones(tasks), people, classes)


def plain_vote(votes: Votes) -> Any:
    counted = np.zeros((len(votes.known), votes.classes))
    np.add.at(counted, (votes.items, votes.given), 1)
    return counted


def accuracy(answers: Any, truth: Any) -> float:
    """Ties are broken at random, the same way for everybody."""
    return float(((answers + 1e-9 * np.random.default_rng(0).random(answers.shape)).argmax(1) == truth).mean())


def gains(seeds: int, *arguments: Any, **options: Any) -> Any:
    """Accuracy over the plain vote, per seed."""
    found = []
    for seed in range(seeds):
        truth, votes = simulate(seed, *arguments, **options)
        reached = estimate(votes)
        plain = plain_vote(votes)
        found.append(accuracy(plain if reached is None else votes.believe(reached), truth) - accuracy(plain, truth))
    return np.array(found)


@pytest.mark.parametrize("classes", [5, 10, 40])
def test_a_spammer_costs_less_than_in_a_plain_vote(classes: int) -> None:
    found = gains(5, 300, classes, GOOD_MEDIOCRE_SPAMMER)
    assert (found > 0.04).all(), found


@pytest.mark.parametrize("classes", [3, 4, 8])
def test_somebody_who_always_says_the_same_is_seen_through(classes: int) -> None:
    found = gains(8, 300, classes, GOOD_MEDIOCRE_SPAMMER, lazy=True)
    assert found.mean() > 0.02 and found.min() > -0.05, found


def test_two_answers_a_task_are_enough_when_many_people_overlap() -> None:
    assert (gains(5, 150, 5, (0.95, 0.7, 0.2, 0.8), each=2) > 0.05).all()


@pytest.mark.parametrize(("tasks", "classes"), [(20, 2), (25, 4), (30, 10)])
@pytest.mark.parametrize("lazy", [False, True])
def test_little_overlap_is_not_worse_than_the_plain_vote(tasks: int, classes: int, lazy: bool) -> None:
    assert gains(20, tasks, classes, GOOD_MEDIOCRE_SPAMMER, lazy=lazy).mean() > -0.01


def test_equally_good_people_lose_nothing() -> None:
    assert gains(10, 40, 4, (0.8, 0.8, 0.8)).mean() > -0.01


def test_reliability_is_estimated() -> None:
    _, votes = simulate(1, 400, 6, (0.95, 0.7, 0.5, None))
    found = estimate(votes)
    assert found is not None
    assert found.accuracy == pytest.approx([0.95, 0.7, 0.5, 1 / 6], abs=0.08)


def test_labels_are_not_swapped_by_people_who_are_mostly_wrong() -> None:
    _, votes = simulate(0, 60, 2, (0.9, 0.1, 0.1))
    found = estimate(votes)
    plain = plain_vote(votes)
    unanimous = plain.max(1) == 3
    assert found is None or (votes.believe(found)[unanimous].argmax(1) == plain[unanimous].argmax(1)).all()


def test_ground_truths_show_who_of_two_is_right() -> None:
    truth, votes = simulate(3, 120, 4, (0.95, 0.5))
    known = np.where(np.arange(120) < 30, truth, -1)
    told = votes_of(votes.items, votes.annotators, votes.given, 120, 2, 4, known)
    found = estimate(told)
    assert found is not None
    posterior = told.believe(found)
    assert (posterior[:30].argmax(1) == truth[:30]).all()
    assert accuracy(posterior[30:], truth[30:]) > accuracy(plain_vote(votes)[30:], truth[30:]) + 0.1


def is_sane(majority: Any, posterior: Any, votes: Votes) -> bool:
    verdict = Verdict(votes.classes)
    verdict.hear(majority, posterior, votes)
    return verdict.is_sane()


def test_a_class_may_not_vanish_and_the_majority_may_not_flip() -> None:
    majority = np.eye(2)[[0] * 7 + [1] * 3]
    votes = votes_of(np.arange(10), np.zeros(10, int), majority.argmax(1), 10, 1, 2)
    assert is_sane(majority, majority, votes)
    assert not is_sane(majority, np.eye(2)[[0] * 10], votes), "class 1 had three tasks"
    assert not is_sane(majority, np.eye(2)[[1] * 7 + [0] * 3], votes), "everything flipped"
    known = replace(votes, known=majority.argmax(1))
    assert is_sane(majority, np.eye(2)[[0] * 10], known), "what is known does not count"


def test_items_with_the_same_answers_may_be_given_once() -> None:
    _, votes = simulate(4, 40, 3, (0.9, 0.7, 0.6))
    table = np.zeros((40, 3), int)
    table[votes.items, votes.annotators] = votes.given
    kinds, kind, times = np.unique(table, axis=0, return_inverse=True, return_counts=True)
    items, who = np.indices(kinds.shape).reshape(2, -1)
    short = replace(votes_of(items, who, kinds.ravel(), len(kinds), 3, 3), times=times.astype(float))
    first, second = estimate(votes), estimate(short)
    assert first is not None and second is not None
    assert short.believe(second)[kind.ravel()] == pytest.approx(votes.believe(first), abs=1e-6)


@pytest.mark.parametrize("cells", [1, 20, 700])
def test_parts_of_any_size_give_the_same(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _, votes = simulate(4, 60, 4, (0.9, 0.7, 0.6, 0.8), each=2)
    votes = replace(votes, known=np.where(np.arange(60) % 9 == 0, 1, -1), groups=np.arange(60) % 2)
    whole = estimate(votes)
    monkeypatch.setattr(dawid_skene, "PART_CELLS", cells)
    parts = list(votes.parts())
    found = estimate(votes)
    assert sum(len(part.items) for part in parts) == 120 and sum(len(part.known) for part in parts) == 60
    assert whole is not None and found is not None
    assert found.accuracy == pytest.approx(whole.accuracy, abs=1e-9)
    assert found.counts == pytest.approx(whole.counts, abs=1e-9)
    posterior = np.concatenate([part.believe(found) for part in parts])
    assert posterior == pytest.approx(votes.believe(whole), abs=1e-9)


def test_the_same_votes_give_the_same_answer_and_too_many_classes_none() -> None:
    _, votes = simulate(2, 50, 5, GOOD_MEDIOCRE_SPAMMER)
    first, second = estimate(votes), estimate(votes)
    assert first is not None and second is not None
    assert (votes.believe(first) == votes.believe(second)).all()
    _, large = simulate(2, 50, 1000, GOOD_MEDIOCRE_SPAMMER)
    assert estimate(large) is None


@pytest.mark.filterwarnings("ignore")  # crowd-kit uses what pandas has deprecated
def test_without_shrinkage_it_is_the_dawid_skene_of_crowd_kit() -> None:
    import pandas as pd
    from crowdkit.aggregation.classification.dawid_skene import DawidSkene

    _, votes = simulate(5, 150, 4, (0.9, 0.8, 0.75, 0.85))
    nothing = Shrinkage(count=1e-9, strengths=(1e-9,), class_count=0.0, steps=10, tolerance=0.0)
    found = estimate(votes, nothing)
    table = pd.DataFrame({"task": votes.items, "worker": votes.annotators, "label": votes.given})
    theirs = DawidSkene(n_iter=10, tol=-np.inf).fit_predict_proba(table).sort_index()[list(range(4))].to_numpy()
    assert found is not None
    assert votes.believe(found) == pytest.approx(theirs, abs=1e-6)
