"""The confidence in a whole set: calibrated where the product of its labels is not, and never reordered."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from model.decoding.answers import AnswerRules, decide
from model.decoding.set_confidence import fit_set_confidence, set_confidence, set_product
from model.numerics.metrics import expected_calibration_error
from model.spec import Kind
from tests.support.encoders import Floats, choices


def exclusive(seed: int, count: int = 600, classes: int = 24) -> tuple[Floats, Floats]:
    """One of many labels is right and a binary model is honest about each by itself."""
    generator = np.random.default_rng(seed)
    rows = generator.dirichlet(np.full(classes, 0.05), count)
    targets = np.stack([generator.multinomial(1, row) for row in rows]).astype(float)
    return rows, targets


def test_the_map_is_a_logistic_regression_when_the_prior_is_off() -> None:
    rows, targets = exclusive(0)
    intercept, slope = fit_set_confidence(rows, targets, rows >= 0.5, prior_strength=0.0)
    chosen = rows >= 0.5
    right = (chosen == (targets > 0)).all(1)
    product = np.clip(set_product(rows, chosen), 1e-6, 1 - 1e-6)
    oracle = LogisticRegression(C=np.inf, tol=1e-8).fit(np.log(product / (1 - product))[:, None], right)
    assert intercept == pytest.approx(float(oracle.intercept_[0]), abs=0.01)
    assert slope == pytest.approx(float(oracle.coef_[0, 0]), rel=0.01)


def test_sets_of_many_labels_are_calibrated_on_fresh_rows() -> None:
    seen, truth = exclusive(1)
    parameters = fit_set_confidence(seen, truth, seen >= 0.5)
    rows, targets = exclusive(2)
    chosen = rows >= 0.5
    right = (chosen == (targets > 0)).all(1)
    mapped = np.array([set_confidence(row, picked, parameters) for row, picked in zip(rows, chosen, strict=True)])
    before, after = (expected_calibration_error(c, right) for c in (set_product(rows, chosen), mapped))
    assert before > 0.1
    assert after < 0.7 * before


def test_few_rows_stay_near_the_product() -> None:
    rows, targets = exclusive(3, count=4)
    intercept, slope = fit_set_confidence(rows, targets, rows >= 0.5, prior_strength=20.0)
    assert abs(intercept) < 0.3
    assert 0.7 < slope < 1.4


def test_no_rows_and_no_map_give_the_product() -> None:
    assert fit_set_confidence(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3), dtype=bool)) == [0.0, 1.0]
    assert set_confidence(np.array([0.9, 0.2]), np.array([True, False]), None) == pytest.approx(0.72)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_the_order_of_the_answers_stays_and_a_confidence_is_a_share(seed: int, count: int) -> None:
    rows, targets = exclusive(seed, count, 5)
    parameters = fit_set_confidence(rows, targets, rows >= 0.5)
    chosen = rows >= 0.5
    mapped = np.array([set_confidence(row, picked, parameters) for row, picked in zip(rows, chosen, strict=True)])
    products = set_product(rows, chosen)
    assert ((mapped >= 0) & (mapped <= 1)).all()
    assert (np.diff(mapped[np.argsort(products, kind="stable")]) >= -1e-12).all()


def test_an_answer_is_scored_by_the_map_of_its_head() -> None:
    control = choices("a", "b", kind=Kind.MULTIPLE)
    found = decide(control, AnswerRules(("a", "b"), set_confidence=(1.0, 0.5)), np.array([0.9, 0.2]))
    assert found is not None
    assert found.score == pytest.approx(1 / (1 + np.exp(-(1 + 0.5 * np.log(0.72 / 0.28)))), abs=1e-6)
