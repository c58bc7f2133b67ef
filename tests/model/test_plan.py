"""What a refit tries: every row out-of-fold while rows are few, thinned as the work grows, always bounded."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.plan import FEW_STRENGTHS, FULL_ROWS, LADDER, MANY_STRENGTHS, PRIORS, SPACES, Plan, plan_search
from model.space import DIMENSIONS

ROWS, CLASSES = st.integers(1, 30_000), st.integers(2, 2000)
OWN: dict[str, Any] = {"view": "last", "words": True, "strength": 10.0}
PREVIOUS = st.none() | st.lists(
    st.fixed_dictionaries(
        {"view": st.sampled_from(["last", "layers"]), "words": st.booleans(), "strength": st.sampled_from(LADDER)}
    ),
    max_size=4,
).map(lambda members: {"members": members})


def search_work(plan: Plan, rows: int, classes: int) -> int:
    """Multiply-adds of the search, but for a constant: fits x rows x dimensions x classes x iterations."""
    fits = plan.scored * len(plan.priors) * (len(plan.spaces) + plan.deep * (len(plan.strengths) - 1))
    kept = min(rows, plan.rows)
    return fits * kept * min(kept, DIMENSIONS) * classes * plan.iterations


def final_work(plan: Plan, rows: int, classes: int) -> int:
    """Of the members on all rows, and of their answers out-of-fold where the search did not give them."""
    fits = plan.members * (1 if plan.whole else 1 + plan.scored)
    return fits * rows * min(rows, DIMENSIONS) * classes * plan.iterations


@pytest.mark.parametrize(
    ("rows", "classes", "folds", "whole"),
    [
        (1, 2, 5, True),
        (128, 2, 5, True),
        (129, 2, 3, True),
        (FULL_ROWS, 2, 3, True),
        (FULL_ROWS + 1, 2, 5, False),
        (1000, 150, 5, False),
        (10_000, 8, 5, False),
    ],
)
def test_folds_by_rows(rows: int, classes: int, folds: int, whole: bool) -> None:
    plan = plan_search(rows, classes)
    assert (plan.folds, plan.whole) == (folds, whole)
    assert plan.scored == (folds if whole else 1)


def test_few_rows_try_everything() -> None:
    plan = plan_search(64, 3)
    assert (plan.spaces, plan.priors, plan.strengths) == (SPACES, PRIORS, FEW_STRENGTHS)
    assert plan.rows == 64


def test_very_few_rows_try_more_regularisation() -> None:
    assert plan_search(32, 3).strengths == (*FEW_STRENGTHS, 0.3)


def test_many_classes_try_less_regularisation() -> None:
    assert plan_search(64, 77).strengths == MANY_STRENGTHS
    assert min(plan_search(64, 77).strengths) > min(plan_search(64, 8).strengths)


def test_with_many_classes_and_rows_the_names_always_count() -> None:
    assert 0.0 not in plan_search(256, 77).priors
    assert 0.0 in plan_search(255, 77).priors
    assert 0.0 in plan_search(256, 50).priors


@pytest.mark.parametrize("strength", LADDER)
def test_a_later_search_starts_from_the_last_winner(strength: float) -> None:
    previous = {"members": [{**OWN, "strength": strength}, {**OWN, "strength": 3.0}]}
    first, *others = plan_search(300, 3, previous).strengths
    assert first == strength
    place = LADDER.index(strength)
    assert set(others) == {*LADDER[max(0, place - 1) : place], *LADDER[place + 1 : place + 2]}


def test_few_rows_search_anew() -> None:
    assert plan_search(128, 3, {"members": [OWN]}) == plan_search(128, 3)


def test_a_thinned_search_stays_in_the_last_winners_spaces() -> None:
    members = [OWN, OWN, {**OWN, "view": "layers"}, {**OWN, "words": False}]
    assert plan_search(5000, 8, {"members": members}).spaces == (("last", True), ("layers", True))
    assert plan_search(5000, 8, {"members": []}).spaces == plan_search(5000, 8).spaces


@settings(deadline=None)
@given(ROWS, CLASSES, PREVIOUS)
def test_every_plan_can_be_carried_out(rows: int, classes: int, previous: dict[str, Any] | None) -> None:
    plan = plan_search(rows, classes, previous)
    assert plan.spaces and plan.priors and plan.strengths
    assert set(plan.spaces) <= set(SPACES)
    assert len(set(plan.strengths)) == len(plan.strengths) and min(plan.strengths) > 0
    assert 1 <= plan.scored <= plan.folds
    assert 1 <= plan.rows <= rows
    assert plan.rows == rows or not plan.whole, "choices are made on all rows where all are answered"
    assert plan.members >= 1 and plan.deep >= 1


@settings(deadline=None)
@given(ROWS, CLASSES, PREVIOUS)
def test_what_is_known_never_makes_a_search_longer(rows: int, classes: int, previous: dict[str, Any] | None) -> None:
    anew = search_work(plan_search(rows, classes), rows, classes)
    assert search_work(plan_search(rows, classes, previous), rows, classes) <= anew
