"""Temperature scaling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.numerics.metrics import log_losses, log_losses_binary, one_hot
from model.numerics.temperature import apply_temperature, fit_temperature

RANDOM = np.random.default_rng(1)
HONEST = RANDOM.dirichlet(np.ones(4), size=400)
TARGETS = one_hot(np.array([RANDOM.choice(4, p=row) for row in HONEST]), 4)
SHARES = RANDOM.uniform(0.05, 0.95, size=(300, 3))
SETS = (RANDOM.random((300, 3)) < SHARES).astype(float)
TEMPERATURE = st.floats(0.2, 5)


def test_honest_predictions_stay_about_as_they_are() -> None:
    assert fit_temperature(HONEST, TARGETS) == pytest.approx(1, abs=0.15)


def test_overconfident_predictions_are_flattened_to_a_lower_loss() -> None:
    bold = apply_temperature(HONEST, 1 / 3)
    temperature = fit_temperature(bold, TARGETS)
    assert temperature == pytest.approx(3, rel=0.2)
    assert log_losses(apply_temperature(bold, temperature), TARGETS).mean() < log_losses(bold, TARGETS).mean()


def test_timid_predictions_are_sharpened() -> None:
    assert fit_temperature(apply_temperature(HONEST, 2), TARGETS) < 0.7


def test_overconfident_sets_are_flattened_to_a_lower_loss() -> None:
    bold = apply_temperature(SHARES, 1 / 3, multilabel=True)
    temperature = fit_temperature(bold, SETS, multilabel=True)
    calm = apply_temperature(bold, temperature, multilabel=True)
    assert temperature > 1.5
    assert log_losses_binary(calm, SETS).mean() < log_losses_binary(bold, SETS).mean()


def test_few_examples_move_the_temperature_less_than_many() -> None:
    bold = apply_temperature(HONEST, 1 / 3)
    assert 1 < fit_temperature(bold[:6], TARGETS[:6]) < fit_temperature(bold, TARGETS)


def test_no_examples_give_one() -> None:
    assert fit_temperature(np.zeros((0, 4)), np.zeros((0, 4))) == 1.0
    assert fit_temperature(np.zeros((0, 4)), np.zeros((0, 4)), multilabel=True) == 1.0


def test_hopeless_predictions_stay_within_the_bounds() -> None:
    wrong = np.tile([1.0, 0.0], (100, 1))
    assert 0.2 <= fit_temperature(wrong, np.tile([0.0, 1.0], (100, 1))) <= 5.01
    assert 0.19 <= fit_temperature(wrong, wrong) <= 5


def test_temperature_one_changes_nothing() -> None:
    assert np.array_equal(apply_temperature(HONEST, 1.0), HONEST)


@settings(deadline=None, max_examples=60)
@given(TEMPERATURE)
def test_the_likeliest_class_stays_the_likeliest(temperature: float) -> None:
    scaled = apply_temperature(HONEST, temperature)
    assert np.array_equal(scaled.argmax(1), HONEST.argmax(1))
    np.testing.assert_allclose(scaled.sum(1), 1)


@settings(deadline=None, max_examples=60)
@given(TEMPERATURE)
def test_in_a_set_each_label_keeps_its_side_of_one_half(temperature: float) -> None:
    scaled = apply_temperature(SHARES, temperature, multilabel=True)
    assert np.array_equal(scaled > 0.5, SHARES > 0.5)
    assert ((scaled >= 0) & (scaled <= 1)).all()


def test_certain_predictions_do_not_break_it() -> None:
    sure = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert np.isfinite(apply_temperature(sure, 2.0)).all()
    assert np.isfinite(apply_temperature(sure, 0.5, multilabel=True)).all()
