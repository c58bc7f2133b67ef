"""Measures against scikit-learn, and the calibration error by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from model.numerics.metrics import (
    accuracy,
    evaluate,
    evaluate_multilabel,
    expected_calibration_error,
    log_losses,
    log_losses_binary,
    macro_f1,
    micro_f1,
    one_hot,
)

RANDOM = np.random.default_rng(0)
PROBABILITIES = RANDOM.dirichlet(np.full(5, 0.5), size=200)
CLASSES = RANDOM.integers(0, 5, size=200)
TARGETS = one_hot(CLASSES, 5)
ANSWERS = PROBABILITIES.argmax(1)
SETS = RANDOM.random((200, 4)) < 0.4
SHARES = np.clip(0.6 * SETS + 0.5 * RANDOM.random((200, 4)), 0.01, 0.99)


def test_accuracy_equals_scikit_learn() -> None:
    assert accuracy(PROBABILITIES, TARGETS) == pytest.approx(metrics.accuracy_score(CLASSES, ANSWERS))


def test_f1_of_single_answers_equals_scikit_learn() -> None:
    predicted, true = one_hot(ANSWERS, 5) > 0, TARGETS > 0
    assert macro_f1(predicted, true) == pytest.approx(metrics.f1_score(CLASSES, ANSWERS, average="macro"))
    assert micro_f1(predicted, true) == pytest.approx(metrics.f1_score(CLASSES, ANSWERS, average="micro"))


def test_f1_of_sets_equals_scikit_learn() -> None:
    chosen = SHARES >= 0.5
    assert macro_f1(chosen, SETS) == pytest.approx(metrics.f1_score(SETS, chosen, average="macro"))
    assert micro_f1(chosen, SETS) == pytest.approx(metrics.f1_score(SETS, chosen, average="micro"))


def test_macro_f1_leaves_out_classes_that_occur_nowhere() -> None:
    few, answers = CLASSES[CLASSES < 3], np.minimum(ANSWERS[CLASSES < 3], 3)
    found = macro_f1(one_hot(answers, 5) > 0, one_hot(few, 5) > 0)
    assert found == pytest.approx(metrics.f1_score(few, answers, average="macro"))


def test_log_loss_equals_scikit_learn() -> None:
    assert log_losses(PROBABILITIES, TARGETS).mean() == pytest.approx(metrics.log_loss(CLASSES, PROBABILITIES))


def test_log_loss_of_sets_is_the_mean_over_labels() -> None:
    each = [metrics.log_loss(SETS[:, column], SHARES[:, column]) for column in range(4)]
    assert log_losses_binary(SHARES, SETS.astype(float)).mean() == pytest.approx(np.mean(each))


def test_log_loss_of_soft_targets_is_the_cross_entropy() -> None:
    loss = log_losses(np.array([[0.5, 0.25, 0.25]]), np.array([[0.5, 0.5, 0.0]]))
    assert loss == pytest.approx([-0.5 * np.log(0.5) - 0.5 * np.log(0.25)])


def test_a_certain_error_costs_much_but_not_infinitely() -> None:
    assert 20 < log_losses(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))[0] < 100


def test_calibration_error_by_hand() -> None:
    confidence, correct = np.array([0.9, 0.9, 0.65, 0.25]), np.array([True, False, True, False])
    # bins: {.9, .9} is off by .8 in sum, {.65} by .35, {.25} by .25
    assert expected_calibration_error(confidence, correct) == pytest.approx((0.8 + 0.35 + 0.25) / 4)


def test_calibration_error_is_zero_for_certain_and_right_and_for_nothing() -> None:
    assert expected_calibration_error(np.ones(3), np.ones(3, dtype=bool)) == 0
    assert expected_calibration_error(np.ones(0), np.ones(0, dtype=bool)) == 0


def test_evaluate_reports_all_measures() -> None:
    found = evaluate(PROBABILITIES, TARGETS)
    assert set(found) == {"n", "accuracy", "macro_f1", "log_loss", "ece"}
    assert (found["n"], found["accuracy"]) == (200, accuracy(PROBABILITIES, TARGETS))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(CLASSES, ANSWERS, average="macro"))


def test_evaluate_multilabel_equals_scikit_learn() -> None:
    found = evaluate_multilabel(SHARES, SETS.astype(float), 0.4)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(SETS, SHARES >= 0.4))
    assert found["micro_f1"] == pytest.approx(metrics.f1_score(SETS, SHARES >= 0.4, average="micro"))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(SETS, SHARES >= 0.4, average="macro"))


def test_nothing_evaluates_to_nothing() -> None:
    assert evaluate(np.zeros((0, 3)), np.zeros((0, 3))) == {"n": 0}
    assert evaluate_multilabel(np.zeros((0, 3)), np.zeros((0, 3)), 0.5) == {"n": 0}
