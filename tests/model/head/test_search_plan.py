"""What a refit tries: every row out-of-fold while rows are few, thinned as the work grows, always bounded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.head.feature_space import SPACE_DIMENSIONS
from model.head.head_config import Choice, MemberConfig
from model.head.search import (
    FEATURE_SPACES,
    FEW_STRENGTHS,
    FULL_ROWS,
    FULL_SIZE,
    MANY_STRENGTHS,
    PRIOR_STRENGTHS,
    SEARCH_SIZE,
    SEARCH_WORK,
    STRENGTHS_TRIED,
    SearchPlan,
    plan_search,
)

ROWS, CLASSES = st.integers(1, 30_000), st.integers(2, 2000)
OWN = MemberConfig(Choice("last", True, 10.0, 10.0), 1.0, True)
PREVIOUS = st.lists(
    st.builds(
        MemberConfig,
        st.builds(
            Choice,
            st.sampled_from(["last", "layers"]),
            st.booleans(),
            st.sampled_from(PRIOR_STRENGTHS),
            st.sampled_from(STRENGTHS_TRIED),
        ),
        st.floats(0.1, 1),
        st.booleans(),
    ),
    max_size=4,
)


def member(**changes: Any) -> MemberConfig:
    """OWN with another choice."""
    return replace(OWN, choice=replace(OWN.choice, **changes))


def search_work(plan: SearchPlan, rows: int, classes: int) -> int:
    """Multiply-adds of the search, but for a constant: fits x rows x dimensions x classes x iterations."""
    assert plan.fits == plan.scored * len(plan.priors) * (len(plan.spaces) + plan.deep * (len(plan.strengths) - 1))
    kept = min(rows, plan.rows)
    return plan.fits * kept * min(kept, SPACE_DIMENSIONS) * classes * plan.iterations


def final_work(plan: SearchPlan, rows: int, classes: int) -> int:
    """Of the members on all rows, and of their answers out-of-fold where the search did not give them."""
    fits = plan.members * (1 if plan.whole else 1 + plan.scored)
    return fits * rows * min(rows, SPACE_DIMENSIONS) * classes * plan.iterations


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
    assert (plan.spaces, plan.priors, plan.strengths) == (FEATURE_SPACES, PRIOR_STRENGTHS, FEW_STRENGTHS)
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


@pytest.mark.parametrize("strength", STRENGTHS_TRIED)
def test_a_later_search_starts_from_the_last_winner(strength: float) -> None:
    previous = [member(strength=strength), member(strength=3.0)]
    first, *others = plan_search(300, 3, previous).strengths
    assert first == strength
    place = STRENGTHS_TRIED.index(strength)
    assert set(others) == {*STRENGTHS_TRIED[max(0, place - 1) : place], *STRENGTHS_TRIED[place + 1 : place + 2]}


def test_few_rows_search_anew() -> None:
    assert plan_search(128, 3, [OWN]) == plan_search(128, 3)


def test_a_thinned_search_stays_in_the_last_winners_spaces() -> None:
    members = [OWN, OWN, member(view="layers"), member(words=False)]
    assert plan_search(5000, 8, members).spaces == (("last", True), ("layers", True))
    assert plan_search(5000, 8, []).spaces == plan_search(5000, 8).spaces


@settings(deadline=None)
@given(ROWS, CLASSES, PREVIOUS)
def test_every_plan_can_be_carried_out(rows: int, classes: int, previous: list[MemberConfig]) -> None:
    plan = plan_search(rows, classes, previous)
    assert plan.spaces and plan.priors and plan.strengths
    assert set(plan.spaces) <= set(FEATURE_SPACES)
    assert len(set(plan.strengths)) == len(plan.strengths) and min(plan.strengths) > 0
    assert 1 <= plan.scored <= plan.folds
    assert 1 <= plan.rows <= rows
    assert plan.rows == rows or not plan.whole, "choices are made on all rows where all are answered"
    assert plan.members >= 1 and plan.deep >= 1


@settings(deadline=None)
@given(ROWS, CLASSES, PREVIOUS)
def test_the_work_of_a_search_is_bounded(rows: int, classes: int, previous: list[MemberConfig]) -> None:
    """Whatever the rows; it grows with the classes alone, when these are more than can be helped."""
    plan = plan_search(rows, classes, previous)
    work = search_work(plan, rows, classes) / plan.iterations
    if plan.whole:
        least = 3 * 2 * (len(FEATURE_SPACES) + 1)  # folds, priors, spaces and a second strength
        assert work <= max(SEARCH_WORK, least * FULL_SIZE)
    else:
        assert work <= 12 * max(SEARCH_SIZE, 300 * 300 * classes)


@settings(deadline=None)
@given(ROWS, CLASSES, PREVIOUS)
def test_the_work_of_the_last_fits_is_linear(rows: int, classes: int, previous: list[MemberConfig]) -> None:
    plan = plan_search(rows, classes, previous)
    assert final_work(plan, rows, classes) <= 4 * rows * SPACE_DIMENSIONS * classes * 60


@pytest.mark.parametrize("classes", [2, 8, 77, 150, 1000])
def test_more_rows_never_multiply_the_work(classes: int) -> None:
    """No refit on the way to 30,000 labels does more than a search at its bound, and one fit of all rows."""
    for rows in range(1, 30_000, 61):
        plan = plan_search(rows, classes)
        total = (search_work(plan, rows, classes) + final_work(plan, rows, classes)) / plan.iterations
        assert total <= 4e8 + 4 * rows * SPACE_DIMENSIONS * classes + 12 * 300 * 300 * classes


def test_many_classes_try_less_before_rows_are_left_out() -> None:
    light, lighter = plan_search(128, 77), plan_search(100, 1000)
    assert (light.deep, light.folds, light.priors, light.strengths) == (1, 5, PRIOR_STRENGTHS, MANY_STRENGTHS)
    assert (lighter.deep, lighter.folds, lighter.priors) == (1, 3, (PRIOR_STRENGTHS[0], PRIOR_STRENGTHS[-1])), (
        "names may mislead"
    )
    assert lighter.strengths == MANY_STRENGTHS[:2]
    assert lighter.spaces == light.spaces == FEATURE_SPACES
    assert lighter.whole and lighter.rows == 100


def test_a_search_over_very_many_classes_is_bounded() -> None:
    for rows in (1, 2, 3, 100, 5_000):
        plan = plan_search(rows, 6_000)
        assert plan.spaces == (("last", False),) and plan.fits <= 4 and plan.members == 1 and plan.rows <= 300
