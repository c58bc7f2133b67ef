"""The queue's batch: the right tasks in the right roles, whatever is labelled, skipped or left."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import takewhile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.acquisition.batch import (
    LEAST_LABELLED_SHARE,
    ONE_SIDED,
    TRIED,
    QueueEntry,
    Repeats,
    is_blind,
    is_explored,
    plan_batch,
    share_of,
)
from model.acquisition.strategies import Pool, margins
from tests.support.next_place import next_place

PROJECT = 7


def pools(rows: int, labelled: list[int], controls: int = 1) -> list[Pool]:
    found = []
    for seed in range(controls):
        generator = np.random.default_rng(seed)
        p = generator.dirichlet(np.ones(4), rows)
        found.append(Pool(p, generator.standard_normal((rows, 8)), np.array(labelled, dtype=np.int64)))
    return found


def plan(given: list[Pool], tasks: list[int], **options: Any) -> list[QueueEntry]:
    confidence = given[0].probabilities.max(1)
    settings = {"strategy": "margin", "size": 16, "blind_share": 0.1, "explore_share": 0.1, **options}
    return plan_batch(given, np.array(tasks, dtype=np.int64), confidence, project=PROJECT, **settings)


def test_a_share_is_the_same_in_every_process_and_as_good_as_random() -> None:
    code = "from model.acquisition.batch import share_of; print(share_of(7, 12345))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(told) == share_of(7, 12345)
    values = np.array([share_of(7, task) for task in range(20_000)])
    assert values.min() >= 0 and values.max() < 1
    counts = np.histogram(values, 20, (0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8, "chi-squared, 19 degrees of freedom, p = .001"
    assert np.corrcoef(values, [share_of(8, task) for task in range(20_000)])[0, 1] < 0.03


def test_ids_of_any_size_have_a_share() -> None:
    assert 0 <= share_of(7, 10**30) < 1 and 0 <= share_of(7, -5) < 1


def test_roles_are_disjoint_slices() -> None:
    blind = [task for task in range(5000) if is_blind(PROJECT, task, 0.05)]
    explored = [task for task in range(5000) if is_explored(PROJECT, task, 0.05, 0.1)]
    assert not set(blind) & set(explored)
    assert 190 < len(blind) < 310 and 430 < len(explored) < 570
    assert not any(is_blind(PROJECT, task, 0) or is_explored(PROJECT, task, 0, 0) for task in range(100))


CASES = st.fixed_dictionaries(
    {
        "rows": st.integers(0, 120),
        "size": st.integers(1, 40),
        "blind": st.sampled_from([0.0, 0.05, 0.3, 1.0]),
        "explore": st.sampled_from([0.0, 0.05, 0.3]),
        "controls": st.integers(1, 3),
        "strategy": st.sampled_from(["random", "margin", "entropy"]),
        "done": st.sets(st.integers(0, 119)),
        "avoid": st.sets(st.integers(0, 119)),
    }
)


@settings(max_examples=300, deadline=None)
@given(CASES)
def test_a_batch_is_full_distinct_unlabelled_and_every_task_is_in_its_role(case: dict[str, Any]) -> None:
    tasks = [100 + 3 * row for row in range(case["rows"])]
    done = [row for row in case["done"] if row < case["rows"]]
    avoid = frozenset(tasks[row] for row in case["avoid"] if row < case["rows"])
    shares = {"blind_share": case["blind"], "explore_share": case["explore"]}
    given_ = pools(case["rows"], done, case["controls"])
    found = plan(given_, tasks, size=case["size"], strategy=case["strategy"], avoid=avoid, **shares)
    left = [task for row, task in enumerate(tasks) if row not in done and task not in avoid]
    assert len(found) == min(case["size"], len(left)) == len({place.task for place in found})
    assert {place.task for place in found} <= set(left)
    clusters = [place.cluster for place in found if place.cluster is not None]
    assert len(clusters) == len(set(clusters)), "each reserved task is a cluster of its own"
    for place in found:
        assert tasks[place.row] == place.task
        assert place.confidence == given_[0].probabilities[place.row].max()
        assert (place.role == "blind") == is_blind(PROJECT, place.task, case["blind"])
        assert (place.role == "explore") == is_explored(PROJECT, place.task, case["blind"], case["explore"])
        assert (place.cluster is None) == (place.role == "chosen")
    assert found == plan(given_, tasks, size=case["size"], strategy=case["strategy"], avoid=avoid, **shares)


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.25])
def test_a_role_gets_what_it_lacks_of_its_share(share: float) -> None:
    in_order = sorted(range(2000), key=lambda task: share_of(PROJECT, task))
    first = [p for p in plan(pools(2000, []), list(range(2000)), size=64, blind_share=share) if p.role == "blind"]
    assert [place.task for place in first] == in_order[: len(first)], "in hash order"
    assert 1 <= len(first) <= share * LEAST_LABELLED_SHARE * 64 + 1
    chosen = [row for row in range(2000) if share_of(PROJECT, row) > 0.5][:80]
    later = [p for p in plan(pools(2000, chosen), list(range(2000)), size=64, blind_share=share) if p.role == "blind"]
    assert len(later) == min(16, round(share * (80 + 16) + 0.5)), "none of 80 labels was blind"
    fed = chosen + in_order[:40]
    assert not [p for p in plan(pools(2000, fed), list(range(2000)), size=64, blind_share=0.02) if p.role == "blind"]


def test_without_shares_everything_is_chosen() -> None:
    found = plan(pools(200, []), list(range(200)), blind_share=0.0, explore_share=0.0, size=24)
    assert {(place.role, place.cluster) for place in found} == {("chosen", None)}
    assert {place.task for place in found} == set(np.argsort(margins(pools(200, [])[0]))[:24].tolist())


def test_controls_choose_in_turn() -> None:
    given_ = pools(300, [], controls=2)
    found = plan(given_, list(range(300)), size=40, blind_share=0.0, explore_share=0.0)
    best = [set(np.argsort(margins(pool))[:20].tolist()) for pool in given_]
    assert {place.row for place in found} >= best[0] | best[1]


def test_what_one_control_has_labelled_is_done_for_all() -> None:
    first, second = pools(60, list(range(30)))[0], pools(60, list(range(30, 55)))[0]
    assert {place.row for place in plan([first, second], list(range(60)))} == set(range(55, 60))


@pytest.mark.parametrize("several", [False, True])
def test_labelled_blind_tasks_are_a_sample_without_bias(several: bool) -> None:
    """The lowest score goes first, but the sample must not lack the sure ones."""
    count, size, tasks = 3000, 64, list(range(3000))
    generator = np.random.default_rng(3)
    given_, labelled, roles = pools(count, []), set[int](), Counter[str]()
    shares = {task: share_of(PROJECT, task) for task in tasks if is_blind(PROJECT, task, 0.05)}
    while len(labelled) < 1600:
        now = [Pool(pool.probabilities, pool.features, np.array(sorted(labelled), np.int64)) for pool in given_]
        places = plan(now, tasks, size=size, blind_share=0.05, explore_share=0.05)
        solved = Counter[int | None]({None: len(labelled)})
        for _ in range(size // 2):
            place = next_place(places, solved, labelled, generator if several else None)
            assert place is not None
            labelled.add(place.task)
            solved[place.cluster] += 1
            roles[place.role] += 1
    in_order = sorted(shares, key=shares.__getitem__)
    prefix = list(takewhile(labelled.__contains__, in_order))
    assert len(labelled & set(shares)) - len(prefix) <= 12, "nobody waits for ever"
    assert 0.04 < roles["blind"] / 1600 < 0.06 and 0.04 < roles["explore"] / 1600 < 0.06


def test_next_place_is_label_studios() -> None:
    places = [
        QueueEntry(1, 0, 0.9, 0, "blind"),
        QueueEntry(2, 1, 0.3, None, "chosen"),
        QueueEntry(3, 2, 0.2, None, "chosen"),
    ]
    for before, expected in ((0, [3, 1, 2]), (5, [1, 3, 2])):
        order, solved, taken = [], Counter[int | None]({None: before}), set[int]()
        while (place := next_place(places, solved, taken)) is not None:
            order.append(place.task)
            taken.add(place.task)
            solved[place.cluster] += 1
        assert order == expected
    assert next_place([], {}, set()) is None


@pytest.mark.parametrize("multilabel", [False, True])
def test_while_all_labels_are_alike_more_is_explored(multilabel: bool) -> None:
    def explored(given: Pool, **options: Any) -> int:
        places = plan([given], list(range(400)), size=64, explore_share=0.05, **options)
        return sum(place.role == "explore" for place in places)

    alike = np.tile([0.9, 0.1, 0.2], (400, 1))
    features, ten = np.ones((400, 3)), np.arange(10)
    one_sided = Pool(alike, features, ten, multilabel)
    mixed = alike.copy()
    mixed[3] = [0.1, 0.9, 0.2]
    assert explored(one_sided) >= TRIED > explored(Pool(mixed, features, ten, multilabel))
    assert explored(Pool(alike, features, ten[: ONE_SIDED - 1], multilabel)) < TRIED, "too early to tell"
    none = plan([one_sided], list(range(400)), explore_share=0.0)
    assert not [place for place in none if place.role == "explore"], "unless that was switched off"


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="as many rows"):
        plan(pools(5, []), [1, 2])
    with pytest.raises(ValueError, match="one pool"):
        plan_batch([], np.zeros(0, np.int64), np.zeros(0), project=1, strategy="margin", size=3)
    with pytest.raises(KeyError):
        plan(pools(50, []), list(range(50)), strategy="clever")


def test_hidden_questions_choose_no_task_and_tasks_that_ask_nothing_come_last() -> None:
    first, second = pools(30, [], controls=2)
    first, second = replace(first, hidden=np.arange(10)), replace(second, hidden=np.arange(20))
    options = {"blind_share": 0.0, "explore_share": 0.0}
    found = [place.row for place in plan([first, second], list(range(30)), size=20, **options)]
    assert set(found) == set(range(10, 30))
    everything = [place.row for place in plan([first, second], list(range(30)), size=30, **options)]
    assert sorted(everything) == list(range(30)) and set(everything[20:]) == set(range(10))
    alone = plan([second], list(range(30)), size=10, **options)
    assert {place.row for place in alone} == set(range(20, 30))


def test_of_duplicates_one_is_handed_out_and_none_of_a_labelled_text_while_others_are_left() -> None:
    tasks = list(range(100, 140))
    groups = np.array([0, 0, 0, 1, 1, *range(2, 37)])
    known = np.zeros(40, dtype=bool)
    known[[10, 11]] = True
    repeats = Repeats(groups, known)
    options: dict[str, Any] = {"size": 40, "blind_share": 0.0, "explore_share": 0.0, "repeats": repeats}
    rows = [entry.row for entry in plan(pools(40, [3]), tasks, **options)]
    assert len({0, 1, 2} & set(rows)) == 1, "one of a group"
    assert not {3, 4, 10, 11} & set(rows), "labelled, a duplicate of it, and of texts labelled elsewhere"
    assert len(rows) == 34
    left = [entry.row for entry in plan(pools(40, sorted({*rows, 3})), tasks, **options)]
    assert set(left) == {0, 1, 2, 4, 10, 11} - set(rows), "the rest"
    passed = [entry.row for entry in plan(pools(40, []), tasks, avoid={tasks[1]}, **options)]
    assert not {0, 1, 2} & set(passed), "nor duplicates of what somebody has a draft of, or passed over"


def test_blind_and_explored_tasks_stay_a_sample_of_all() -> None:
    tasks = list(range(1000, 1200))
    repeats = Repeats(np.zeros(200, np.int64), np.zeros(200, dtype=bool))
    found = plan(pools(200, []), tasks, repeats=repeats, size=64)
    roles = Counter(entry.role for entry in found)
    assert roles["chosen"] == 1 and roles["blind"] > 1 and roles["explore"] > 1


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.data())
def test_the_queue_hands_out_every_duplicate_in_the_end(numbers: list[int], data: st.DataObject) -> None:
    size = len(numbers)
    repeats = Repeats(np.array(numbers), np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size))))
    done: list[int] = []
    for _ in range(size):
        batch = plan(pools(size, done), list(range(size)), repeats=repeats, blind_share=0.0, explore_share=0.0, size=30)
        rows = [entry.row for entry in batch]
        assert rows and not set(rows) & set(done)
        done += rows
        if len(done) == size:
            return
    raise AssertionError("some were never handed out")


def test_near_duplicates_come_when_others_do_not_fill_the_batch() -> None:
    tasks, alone = list(range(100, 140)), np.zeros(40, dtype=bool)
    alike = Repeats(np.array([*[0] * 20, *range(1, 21)]), alone)
    options: dict[str, Any] = {"blind_share": 0.0, "explore_share": 0.0, "alike": alike}
    first = [entry.row for entry in plan(pools(40, []), tasks, size=21, **options)]
    assert sum(row < 20 for row in first) == 1
    assert len(plan(pools(40, []), tasks, size=30, **options)) == 30
    later = [entry.row for entry in plan(pools(40, [3]), tasks, size=20, **options)]
    assert all(row >= 20 for row in later)
