"""Stars that are close to each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.decoding.answers import AnswerRules, decide
from model.decoding.ratings import SMOOTHING, choose_smoothing, median_star, smooth_ratings, smoothing_for
from model.spec import Kind
from tests.support.encoders import choices

SEEDS = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(1, 100))
def test_no_star_has_a_smaller_expected_error_than_the_median(seed: int, count: int) -> None:
    row = np.random.default_rng(seed).dirichlet(np.full(count, 0.3))
    errors = np.abs(np.subtract.outer(np.arange(count), np.arange(count))) @ row
    assert errors[median_star(row)] == pytest.approx(errors.min(), abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(1, 100), st.floats(0, 0.9))
def test_smoothing_keeps_a_distribution(seed: int, count: int, strength: float) -> None:
    rows = np.random.default_rng(seed).dirichlet(np.ones(count), 3)
    found = smooth_ratings(rows, strength)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(1), 1)


def test_a_star_passes_on_to_its_neighbours_most() -> None:
    row = smooth_ratings(np.array([0.0, 0.0, 1.0, 0.0, 0.0]), 0.5)
    np.testing.assert_allclose(row, np.array([0.25, 0.5, 1, 0.5, 0.25]) / 2.5)
    np.testing.assert_array_equal(smooth_ratings(row, 0.0), row)


def test_two_lone_extremes_give_way_to_what_lies_together() -> None:
    row = np.array([0.45, 0.0, 0.0, 0.27, 0.28])
    assert median_star(row) == 3
    assert median_star(np.array([0.5, 0.0, 0.0, 0.5, 0.0])) == 0


def test_smoothing_fades_as_labels_come() -> None:
    assert smoothing_for(0) == smoothing_for(32) == SMOOTHING
    assert smoothing_for(320) == pytest.approx(SMOOTHING / 10)


def test_a_head_with_few_labels_answers_with_smoothed_stars_in_any_column_order() -> None:
    control = choices(*"12345", kind=Kind.RATING)
    found = decide(control, AnswerRules(tuple("54321"), count=8), np.array([0.0, 0.0, 1.0, 0.0, 0.0]))
    assert found is not None
    assert found.chosen == ("3",)
    assert found.score < 1
    assert found.ranking[0][0] == "3"


def test_the_usual_smoothing_stays_unless_held_out_answers_are_better_without() -> None:
    torn = np.tile([0.55, 0.0, 0.0, 0.0, 0.45], (8, 1))
    extremes = np.tile(np.eye(5)[0], (8, 1))
    assert choose_smoothing(torn, extremes) < smoothing_for(8), "the extremes alone are given"
    middle = np.tile(np.eye(5)[1], (8, 1))
    assert choose_smoothing(torn, middle) == smoothing_for(8)
    assert choose_smoothing(extremes, extremes) == smoothing_for(8), "no difference"
