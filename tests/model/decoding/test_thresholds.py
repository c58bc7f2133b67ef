"""Thresholds of sets against scikit-learn's F1 and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from model.decoding.answers import (
    PSEUDO_POSITIVES,
    THRESHOLD_GRID,
    AnswerRules,
    choose_labels,
    decide,
    fit_label_thresholds,
    fit_threshold,
    thresholds_of,
)
from model.spec import Kind
from tests.support.encoders import Floats, choices

pytestmark = pytest.mark.slow

SEEDS = st.integers(0, 2**32 - 1)


def rows(seed: int, count: int = 60) -> tuple[Floats, Floats]:
    """Probabilities that know something of the targets, at a scale of their own per label."""
    generator = np.random.default_rng(seed)
    targets = (generator.random((count, 4)) < [0.5, 0.3, 0.1, 0.02]).astype(float)
    scale = np.array([1.0, 0.6, 0.4, 0.3])
    return np.clip(scale * (0.25 + 0.5 * targets + generator.normal(0, 0.2, targets.shape)), 0, 1), targets


@settings(deadline=None, max_examples=30)
@given(SEEDS)
def test_no_shared_threshold_has_a_better_micro_f1(seed: int) -> None:
    probabilities, targets = rows(seed)
    found = f1_score(targets > 0, probabilities >= fit_threshold(probabilities, targets), average="micro")
    best = max(f1_score(targets > 0, probabilities >= at, average="micro", zero_division=0) for at in THRESHOLD_GRID)
    assert found == pytest.approx(best)


@pytest.mark.long
@settings(deadline=None, max_examples=30)
@given(SEEDS)
def test_thresholds_of_labels_are_their_best_drawn_to_the_shared_one(seed: int) -> None:
    probabilities, targets = rows(seed)
    found = fit_label_thresholds(probabilities, targets, 0.3)
    for column in range(4):
        true, p = targets[:, column] > 0, probabilities[:, column]
        scores = [f1_score(true, p >= at, zero_division=0) for at in THRESHOLD_GRID]
        own = THRESHOLD_GRID[int(np.argmax(np.round(scores, 12)))]
        share = true.sum() / (true.sum() + PSEUDO_POSITIVES)
        assert found[column] == pytest.approx(share * own + (1 - share) * 0.3)


def test_three_positives_move_a_threshold_less_than_thirty() -> None:
    def moved(count: int) -> float:
        targets = np.concatenate([np.ones((count, 1)), np.zeros((100, 1))])
        probabilities = np.where(targets > 0, 0.65, 0.6)
        return float(fit_label_thresholds(probabilities, targets, 0.3)[0]) - 0.3

    assert 0 <= moved(3) < moved(30)
    assert moved(3) < 0.2


def test_a_label_without_positives_takes_the_shared_threshold() -> None:
    assert fit_label_thresholds(np.full((5, 2), 0.6), np.zeros((5, 2)), 0.42) == pytest.approx(0.42)


def test_thresholds_by_label_are_better_for_labels_of_different_scale() -> None:
    probabilities, targets = rows(3, 400)
    shared = fit_threshold(probabilities, targets)
    own = fit_label_thresholds(probabilities, targets, shared)
    fresh, truth = rows(4, 400)
    scores = [f1_score(truth > 0, fresh >= at, average="macro", zero_division=0) for at in (shared, own)]
    assert scores[1] > scores[0] + 0.05


def test_a_threshold_belongs_to_its_label_whatever_the_columns() -> None:
    rules = AnswerRules(("b", "c"), thresholds={"b": 0.1})
    assert thresholds_of(rules, ["c", "b"]).tolist() == [0.5, 0.1]
    found = decide(choices("c", "b", kind=Kind.MULTIPLE), rules, np.array([0.2, 0.4]))
    assert found is not None
    assert found.chosen == ("b",)


def test_sets_that_are_never_empty_hold_the_likeliest_label() -> None:
    rows = np.array([[0.1, 0.2], [0.9, 0.8]])
    assert choose_labels(rows, 0.5, nonempty=True).tolist() == [[False, True], [True, True]]
    assert choose_labels(rows, 0.5, nonempty=False).tolist() == [[False, False], [True, True]]
