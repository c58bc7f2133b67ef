"""Hunting scarce classes: likely members near to a coin toss, no class for ever, and what people say of members."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from model.acquisition.batch import is_blind, is_explored, plan_batch
from model.acquisition.hunt_signs import (
    PatternError,
    check_regex,
    find_expression,
    find_words,
    hint_likeness,
    measure_likeness,
)
from model.acquisition.rare_classes import ENOUGH, MISSES, ClassHunt, hunt_rows
from model.acquisition.strategies import Pool


def pool(chances: list[list[float]], **more: Any) -> Pool:
    generator = np.random.default_rng(0)
    p = np.array(chances)
    return Pool(p, generator.standard_normal((len(p), 16)), np.zeros(0, np.int64), **more)


def rows(given: Pool, hunts: list[ClassHunt], count: int) -> list[tuple[int, int]]:
    free = np.ones(len(given.probabilities), dtype=bool)
    return [(own.row, own.hunt) for own in hunt_rows([given], hunts, free, count)]


def test_what_is_likely_and_not_sure_comes_first_and_after_misses_what_is_surer() -> None:
    given = pool([[0.02], [0.97], [0.55], [0.75], [0.3]])
    assert rows(given, [ClassHunt(0, 0, 0)], 2) == [(4, 0), (2, 0)]
    assert rows(given, [ClassHunt(0, 0, 0, asked=3, found=1)], 1) == [(3, 0)]
    assert rows(given, [ClassHunt(0, 0, ENOUGH)], 2) == []


def test_the_class_that_lacks_most_is_served_first_and_what_it_may_have_counts() -> None:
    given = pool([[0.5, 0.4]] * 8)
    hunts = [ClassHunt(0, 0, 1), ClassHunt(0, 1, 0)]
    assert [own for _, own in rows(given, hunts, 6)] == [1, 1, 1, 0, 1, 0]


def test_a_class_that_is_not_there_costs_so_many_tasks() -> None:
    given = pool([[0.1, 0.5]] * 60)
    there, absent = ClassHunt(0, 1, 0), ClassHunt(0, 0, 0)
    cost = 0
    for _ in range(40):
        found = rows(given, [absent, there], 4)
        taken = sum(own == 0 for _, own in found)
        absent = replace(absent, asked=absent.asked + taken)
        there = replace(there, labels=min(ENOUGH - 1, there.labels + len(found) - taken))
        cost += taken
    assert MISSES <= cost < MISSES + 4 and absent.is_vain and not replace(absent, labels=1).is_vain


def test_hidden_and_labelled_rows_and_copies_are_left_alone() -> None:
    given = pool([[0.5]] * 4, hidden=np.array([0]))
    given.features[2] = given.features[1]
    assert rows(given, [ClassHunt(0, 0, 0)], 4) == [(1, 0), (3, 0)], "row 2 is row 1 again"


def test_signs_go_before_chances() -> None:
    given = pool([[0.5], [0.01], [0.02]])
    signs = np.array([0.0, 1.0, 1.0])
    assert [row for row, _ in rows(given, [ClassHunt(0, 0, 0, signs=lambda: signs)], 3)] == [2, 1, 0]


def test_a_node_is_as_likely_as_all_below_it() -> None:
    given = pool([[0.1, 0.2], [0.3, 0.3], [0.4, 0.0]])
    assert rows(given, [ClassHunt(0, 0, 0, below=(1,))], 2) == [(2, 0), (0, 0)]
    given = pool([[0.1, 0.2], [0.3, 0.3], [0.4, 0.0]], multilabel=True)
    assert rows(given, [ClassHunt(0, 0, 0, below=(1,))], 2) == [(2, 0), (1, 0)]


def test_what_takes_too_long_is_given_up_and_signs_are_read_in_turn_only() -> None:
    texts = ["refund"] * 50
    assert find_words(["refund"], texts).sum() == find_expression("a", "refund", texts).sum() == 50
    assert 1 <= find_words(["refund"], texts, 0.0).sum() < 50 and find_expression("a", "refund", texts, 0.0).sum() < 50
    assert find_words(["", " "], texts).sum() == 0
    read: list[int] = []

    def signs(place: int) -> Any:
        return lambda: read.append(place) or np.zeros(3)

    hunts = [ClassHunt(0, 0, place, signs=signs(place)) for place in range(5)]
    rows(pool([[0.5], [0.4], [0.3]]), hunts, 2)
    assert set(read) <= {0, 1}


def test_hunted_places_are_of_their_own_and_take_no_blind_task() -> None:
    generator = np.random.default_rng(1)
    given = Pool(generator.dirichlet(np.ones(3), 400), generator.standard_normal((400, 8)), np.zeros(0, np.int64))
    tasks = np.arange(400, dtype=np.int64)
    options: Any = {"project": 7, "strategy": "margin", "size": 32, "blind_share": 0.05, "explore_share": 0.05}
    hunts = [ClassHunt(0, 2, 0, wanted=30)]
    found = plan_batch([given], tasks, given.probabilities.max(1), hunts=hunts, hunted=8, **options)
    hunted = [place for place in found if place.role == "hunt"]
    assert len(found) == 32 == len({place.task for place in found}) and len(hunted) == 8
    assert all(place.hunt == 0 and place.cluster is not None for place in hunted)
    assert not any(is_blind(7, place.task, 0.05) or is_explored(7, place.task, 0.05, 0.05) for place in hunted)
    most = plan_batch([given], tasks, given.probabilities.max(1), hunts=hunts, hunted=99, **options)
    assert sum(place.role == "hunt" for place in most) == 16, "half at most"


def test_words_begin_words_and_an_expression_is_linear() -> None:
    texts = ["Refunded  TODAY", "a prerefund", "money\nback please", "給我退款單", ""]
    assert find_words(["refund", "Money back", "退款"], texts).tolist() == [1, 0, 1, 1, 0]
    assert find_expression("x", r"(REFUNDE|back)\w*", texts).tolist() == [1, 0, 1, 0, 0]
    assert find_expression("x", "(a|aa)+$", ["a" * 100_000 + "b"]).tolist() == [0]


@pytest.mark.parametrize("expression", [r"(a)\1", "(?=a)b", "a*", "(", r"\p{L}{1,30}", "a" * 2000, "\ud800"])
def test_an_expression_that_cannot_be_used_is_refused(expression: str) -> None:
    with pytest.raises(PatternError):
        check_regex("x", expression)


def test_likeness_is_to_the_nearest_example() -> None:
    features = np.array([[1.0, 0], [0.9, 0.1], [0, 1.0], [-1, -1.1]])
    like = measure_likeness(features, features[:1])
    assert like[0] == pytest.approx(1) and like[1] > 0.8 and like[2:].tolist() == [0, 0]
    assert measure_likeness(features, features[:0]).tolist() == [0] * 4
    assert hint_likeness(features, features[:1]).max() == pytest.approx(0.15), "less than a word"
