"""The regression with offsets against scikit-learn's LogisticRegression."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from model.numerics import logistic as linear
from model.numerics.arrays import softmax_rows
from model.numerics.logistic import fit_blocks, intercept_variance
from model.numerics.metrics import one_hot
from tests.support.encoders import Floats

ROWS, WIDTH, CLASSES = 120, 7, 4
STRENGTH = 3.0
RANDOM = np.random.default_rng(5)
FEATURES = RANDOM.normal(size=(ROWS, WIDTH))
TRUTH = (FEATURES[:, :CLASSES] + RANDOM.normal(size=(ROWS, CLASSES))).argmax(1)
TARGETS = one_hot(TRUTH, CLASSES)
SETS = (FEATURES[:, :3] + RANDOM.normal(size=(ROWS, 3)) > 0.3).astype(float)
WEIGHTS = RANDOM.uniform(0.2, 2.0, ROWS)
ONES = np.ones(ROWS)
CLOSE = 0.005
"""Of probabilities: the optimisation ends early, when a step gains less than a millionth."""


def fit(
    targets: Floats,
    weights: Floats = ONES,
    offsets: Floats | None = None,
    *,
    features: Floats = FEATURES,
    strength: float = STRENGTH,
    multilabel: bool = False,
) -> Floats:
    """Fitted probabilities [n, K] of one block."""
    offset = np.zeros((1, *targets.shape)) if offsets is None else offsets[None]
    found, intercepts = fit_blocks(features, targets, weights[None], offset, strength, multilabel=multilabel)
    logits = features @ found[0] + intercepts[0] + offset[0]
    return expit(logits) if multilabel else softmax_rows(logits)


def with_intercept(features: Floats, rows: float, classes: int, strength: float = STRENGTH) -> Floats:
    """A constant column of such a size that its penalty is the intercepts'."""
    size = np.sqrt(intercept_variance(rows, classes) / strength)
    return np.column_stack([features, np.full(len(features), size)])


def peer(features: Floats, truth: Floats, weights: Floats, strength: float = STRENGTH) -> LogisticRegression:
    """scikit-learn's own, fitted to the end."""
    model = LogisticRegression(C=strength, fit_intercept=False, tol=1e-8, max_iter=5000)
    return model.fit(features, truth, sample_weight=weights)


@pytest.mark.parametrize("weights", [ONES, WEIGHTS, (np.arange(ROWS) % 3 > 0).astype(float)])
def test_many_classes_equal_scikit_learn(weights: Floats) -> None:
    features = with_intercept(FEATURES, weights.sum(), CLASSES)
    expected = peer(features, TRUTH, weights).predict_proba(features)
    np.testing.assert_allclose(fit(TARGETS, weights), expected, atol=CLOSE)


def test_two_classes_equal_scikit_learn_with_twice_the_strength() -> None:
    truth = (TRUTH > 1).astype(int)  # two opposite columns share the penalty of one
    features = with_intercept(FEATURES, ROWS, 2)
    expected = peer(features, truth, ONES, 2 * STRENGTH).predict_proba(features)
    np.testing.assert_allclose(fit(one_hot(truth, 2)), expected, atol=CLOSE)


def test_labels_of_sets_equal_one_regression_each() -> None:
    features = with_intercept(FEATURES, WEIGHTS.sum(), 3)
    each = [peer(features, SETS[:, column], WEIGHTS).predict_proba(features)[:, 1] for column in range(3)]
    np.testing.assert_allclose(fit(SETS, WEIGHTS, multilabel=True), np.stack(each, 1), atol=CLOSE)


def test_a_soft_target_equals_a_row_for_each_class() -> None:
    soft = RANDOM.dirichlet(np.full(CLASSES, 0.5), ROWS)
    features = with_intercept(FEATURES, WEIGHTS.sum(), CLASSES)
    copies = np.repeat(features, CLASSES, axis=0)
    model = peer(copies, np.tile(np.arange(CLASSES), ROWS), (WEIGHTS[:, None] * soft).ravel())
    np.testing.assert_allclose(fit(soft, WEIGHTS), model.predict_proba(features), atol=CLOSE)


def test_a_row_of_weight_two_equals_two_rows() -> None:
    twice = np.concatenate([FEATURES, FEATURES[:40]]), np.concatenate([TARGETS, TARGETS[:40]])
    weights = np.where(np.arange(ROWS) < 40, 2.0, 1.0)
    doubled = fit(twice[1], np.ones(ROWS + 40), features=twice[0])
    np.testing.assert_allclose(fit(TARGETS, weights), doubled[:ROWS], atol=CLOSE)


@pytest.mark.parametrize("multilabel", [False, True])
def test_intercepts_of_few_rows_are_held_back_as_a_constant_feature_is(multilabel: bool) -> None:
    few, targets = FEATURES[:10], (SETS if multilabel else TARGETS)[:10]
    features = with_intercept(few, 10, targets.shape[1])
    found = fit(targets, np.ones(10), features=few, multilabel=multilabel)
    if multilabel:
        each = [peer(features, targets[:, column], np.ones(10)).predict_proba(features)[:, 1] for column in range(3)]
        np.testing.assert_allclose(found, np.stack(each, 1), atol=CLOSE)
    else:
        expected = peer(features, TRUTH[:10], np.ones(10)).predict_proba(features)
        np.testing.assert_allclose(found[:, np.unique(TRUTH[:10])], expected, atol=CLOSE)


def test_an_offset_equals_a_feature_whose_coefficients_are_known() -> None:
    extra = FEATURES[:, 0] ** 2 + RANDOM.normal(size=ROWS)
    joint = np.column_stack([with_intercept(FEATURES, ROWS, CLASSES), extra])
    model = peer(joint, TRUTH, ONES)
    offsets = np.outer(extra, model.coef_[:, -1])
    found = fit(TARGETS, offsets=offsets)
    np.testing.assert_allclose(found, model.predict_proba(joint), atol=CLOSE)
    assert np.abs(found - fit(TARGETS)).max() > 10 * CLOSE


def test_an_offset_of_a_set_equals_a_feature_whose_coefficient_is_known() -> None:
    joint = np.column_stack([with_intercept(FEATURES, ROWS, 1), FEATURES[:, 0] ** 2])
    model = peer(joint, SETS[:, 0], ONES)
    offsets = joint[:, -1:] * model.coef_[0, -1]
    found = fit(SETS[:, :1], offsets=offsets, multilabel=True)
    np.testing.assert_allclose(found[:, 0], model.predict_proba(joint)[:, 1], atol=CLOSE)


@pytest.mark.parametrize("multilabel", [False, True])
def test_blocks_solved_together_equal_blocks_solved_alone(multilabel: bool) -> None:
    targets = SETS if multilabel else TARGETS
    folds = np.arange(ROWS) % 3
    weights = np.stack([folds != fold for fold in range(3)]).astype(float)
    offsets = RANDOM.normal(size=(3, *targets.shape))
    found, intercepts = fit_blocks(FEATURES, targets, weights, offsets, STRENGTH, multilabel=multilabel)
    for block in range(3):
        alone = fit(targets, weights[block], offsets[block], multilabel=multilabel)
        logits = FEATURES @ found[block] + intercepts[block] + offsets[block]
        np.testing.assert_allclose(expit(logits) if multilabel else softmax_rows(logits), alone, atol=2 * CLOSE)


@pytest.mark.parametrize("multilabel", [False, True])
def test_single_precision_equals_double_precision(multilabel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = SETS if multilabel else TARGETS
    precise = fit(targets, WEIGHTS, multilabel=multilabel)
    monkeypatch.setattr(linear, "SINGLE_PRECISION_FROM", 0)
    np.testing.assert_allclose(fit(targets, WEIGHTS, multilabel=multilabel), precise, atol=CLOSE)


def test_the_order_of_the_rows_does_not_matter() -> None:
    order = RANDOM.permutation(ROWS)
    shuffled = fit(TARGETS[order], WEIGHTS[order], features=FEATURES[order])
    np.testing.assert_allclose(shuffled, fit(TARGETS, WEIGHTS)[order], atol=CLOSE)


def test_no_weight_leaves_the_offsets_as_they_are() -> None:
    offsets = RANDOM.normal(size=(ROWS, CLASSES))
    np.testing.assert_allclose(fit(TARGETS, np.zeros(ROWS), offsets), softmax_rows(offsets), atol=1e-6)


def test_without_features_the_intercepts_say_how_frequent_a_class_is() -> None:
    found = fit(TARGETS, features=np.zeros((ROWS, 0)))
    np.testing.assert_allclose(found[0], TARGETS.mean(0), atol=0.01)


def test_a_separable_problem_stays_finite() -> None:
    found = fit(one_hot((FEATURES[:, 0] > 0).astype(int), 2), strength=1e6)
    assert np.isfinite(found).all()


def test_large_logits_do_not_overflow() -> None:
    assert np.isfinite(fit(TARGETS, offsets=1e4 * RANDOM.normal(size=(ROWS, CLASSES)))).all()
    assert np.isfinite(fit(SETS, offsets=1e4 * RANDOM.normal(size=(ROWS, 3)), multilabel=True)).all()


def test_intercepts_are_freer_the_more_rows_a_class_has() -> None:
    found = [intercept_variance(rows, 10) for rows in (0, 1, 10, 40, 70, 1e9)]
    assert found[0] == found[2] == linear.LEAST_FREEDOM
    assert found[3] == pytest.approx(16.0)
    assert found == sorted(found)
    assert found[-1] == linear.MOST_FREEDOM


def test_a_class_never_seen_keeps_some_probability() -> None:
    seen = one_hot(TRUTH % 3, CLASSES)
    assert 1e-6 < fit(seen)[:, 3].max() < 0.05


def test_of_very_many_classes_those_without_labels_share_one_column(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    features, offsets = random.standard_normal((40, 6)), random.standard_normal((1, 40, 9)) * 0.1
    targets = np.eye(9)[random.integers(4, size=40)]  # the last five have no label
    given = features, targets, np.ones((1, 40)), offsets, 3.0
    whole = fit_blocks(*given, multilabel=False)
    monkeypatch.setattr("model.numerics.logistic.VERY_MANY", 8)
    shared = fit_blocks(*given, multilabel=False)
    assert [part.shape for part in shared] == [part.shape for part in whole]
    assert np.ptp(shared[0][0, :, 4:], axis=1).max() == 0

    def answers(found: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return softmax_rows(features @ found[0][0] + found[1][0] + offsets[0])

    np.testing.assert_allclose(answers(shared), answers(whole), atol=0.02)
    sets = fit_blocks(*given, multilabel=True)
    assert sets[0].shape == whole[0].shape and (features @ sets[0][0] + sets[1][0])[:, 4:].max() < 0
