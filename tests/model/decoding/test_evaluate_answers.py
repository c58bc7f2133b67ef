"""Measures of served answers, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss

from model.decoding.answers import AnswerRules
from model.decoding.evaluate_answers import measure
from model.numerics.metrics import expected_calibration_error
from model.spec import Control, Kind, Label, Sample

KEYS = ("a", "b", "c", "d")


def control(kind: Kind, keys: tuple[str, ...] = KEYS) -> Control:
    return Control("label", kind, ("text",), tuple(Label((key,), key) for key in keys))


def test_single_answers_agree_with_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    p, truth = generator.dirichlet(np.ones(4), 200), generator.integers(0, 3, 200)  # d never occurs
    samples = [Sample(i, ("x",), {KEYS[c]: 1.0}) for i, c in enumerate(truth)]
    found = measure(control(Kind.SINGLE), AnswerRules(tuple(KEYS)), p, samples)
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, p.argmax(1)))
    assert found["macro_f1"] == pytest.approx(f1_score(truth, p.argmax(1), average="macro"))
    assert found["log_loss"] == pytest.approx(log_loss(truth, p, labels=range(4)))
    assert found["ece"] == pytest.approx(expected_calibration_error(p.max(1), p.argmax(1) == truth), abs=1e-4)
    assert "micro_f1" not in found


def test_sets_agree_with_scikit_learn() -> None:
    generator = np.random.default_rng(1)
    p, truth = generator.random((100, 4)), generator.random((100, 4)) < 0.3
    truth[truth.sum(1) == 0, 0] = True
    samples = [Sample(i, ("x",), {KEYS[c]: 1.0 for c in np.flatnonzero(row)}) for i, row in enumerate(truth)]
    found = measure(control(Kind.MULTIPLE), AnswerRules(tuple(KEYS), threshold=0.4), p, samples)
    chosen = p >= 0.4
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, chosen))
    for average in ("micro", "macro"):
        assert found[f"{average}_f1"] == pytest.approx(f1_score(truth, chosen, average=average))
    sure = np.where(chosen, p, 1 - p).prod(1)
    assert found["ece"] == pytest.approx(expected_calibration_error(sure, (chosen == truth).all(1)), abs=1e-4)


def test_a_label_without_a_column_is_an_error() -> None:
    samples = [Sample(0, ("x",), {"a": 1.0}), Sample(1, ("x",), {"new": 1.0})]
    found = measure(control(Kind.SINGLE), AnswerRules(tuple(KEYS)), np.array([[0.7, 0.1, 0.1, 0.1]] * 2), samples)
    assert found["accuracy"] == 0.5 and np.isfinite(found["log_loss"])
