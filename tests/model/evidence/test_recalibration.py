"""The temperature that test-then-train rows ask for, and when it is applied."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from model.evidence.recalibration import (
    LEAST_ROWS,
    PRIOR_STRENGTH,
    choose_rows,
    decide_correction,
    fit_correction,
    keep_answers,
    read_rows,
)
from model.evidence.row import EvidenceRow, HeadAnswer, Judgement, KeptAnswer
from model.numerics.metrics import log_losses, one_hot
from model.numerics.temperature import apply_temperature, fit_temperature


def stream(count: int, classes: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that a temperature would calibrate, and the truth drawn from the calibrated ones [n, K] each."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2.0, (count, classes))
    true = softmax(logits, axis=1)
    classes_drawn = np.array([generator.choice(classes, p=p) for p in true])
    return softmax(logits * temperature, axis=1), one_hot(classes_drawn, classes)


def kept(probabilities: np.ndarray, targets: np.ndarray) -> list[KeptAnswer]:
    return [keep_answers(p, t) for p, t in zip(probabilities, targets, strict=True)]


@pytest.mark.parametrize("classes", [2, 9, 40])
@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0])
def test_the_temperature_is_that_of_the_whole_probabilities(classes: int, temperature: float) -> None:
    probabilities, targets = stream(300, classes, temperature)
    found = fit_correction(read_rows(kept(probabilities, targets)))
    assert found == pytest.approx(fit_temperature(probabilities, targets, prior_strength=PRIOR_STRENGTH), rel=0.1)


def test_what_is_kept_gives_the_log_losses_back() -> None:
    probabilities, targets = stream(50, 8, 1.0)
    rows = read_rows(kept(probabilities, targets))
    np.testing.assert_allclose(rows.log_losses(), log_losses(probabilities, targets), atol=2e-3)
    hot = log_losses(apply_temperature(probabilities, 1.7), targets)
    np.testing.assert_allclose(rows.log_losses(1.7), hot, atol=2e-3)


def test_a_row_stays_small_with_a_thousand_classes_and_keeps_the_given_label() -> None:
    probabilities, targets = stream(1, 1000, 1.0)
    targets = one_hot(np.array([int(probabilities[0].argmin())]), 1000)
    row = keep_answers(probabilities[0], targets[0])
    assert len(json.dumps(row.to_json())) < 250 and sum(row.targets) == 1 and row.rest == 989


def test_over_confidence_that_lasts_is_corrected() -> None:
    probabilities, targets = stream(200, 4, 2.0)
    correction = decide_correction(read_rows(kept(probabilities, targets)))
    assert 1.5 < correction.temperature < 2.2 and "log-loss lower" in correction.reason


@pytest.mark.parametrize("seed", range(4))
def test_calibrated_answers_are_left_about_as_they_are(seed: int) -> None:
    probabilities, targets = stream(200, 4, 1.0, seed)
    assert decide_correction(read_rows(kept(probabilities, targets))).temperature == pytest.approx(1.0, abs=0.2)


def test_over_confidence_that_is_over_is_not_corrected() -> None:
    """The first half was over-confident, the second is the opposite: what held does not hold."""
    early, late = stream(60, 4, 2.0), stream(60, 4, 0.7, 1)
    rows = kept(*early) + kept(*late)
    assert decide_correction(read_rows(rows)).temperature == 1.0


def test_few_rows_correct_nothing() -> None:
    probabilities, targets = stream(LEAST_ROWS - 1, 3, 4.0)
    correction = decide_correction(read_rows(kept(probabilities, targets)))
    assert correction.temperature == 1.0 and "39 of 40" in correction.reason
    assert decide_correction(read_rows([])).temperature == 1.0


def test_one_bad_row_moves_little() -> None:
    probabilities, targets = stream(60, 2, 1.0)
    before = fit_correction(read_rows(kept(probabilities, targets)))
    slip = kept(np.array([[1 - 1e-12, 1e-12]]), np.array([[0.0, 1.0]]))
    assert fit_correction(read_rows(kept(probabilities, targets) + slip)) == pytest.approx(before, rel=0.1)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(2, 30), st.integers(0, 9))
def test_any_rows_give_a_temperature_within_bounds(count: int, classes: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(classes, 0.05), count)
    rows = kept(probabilities, generator.dirichlet(np.ones(classes), count))
    assert 1 / 3 - 1e-3 <= fit_correction(read_rows(rows)) <= 3 + 1e-3
    assert np.isfinite(read_rows(rows).log_losses()).all()


def test_rows_of_like_models_are_chosen() -> None:
    judged = Judgement(0.9, True, 0.1)
    blend, head, plain = (KeptAnswer((-0.1,), (1.0,), rest) for rest in (1, 2, 3))
    rows = [EvidenceRow("label", judged, labels=labels, served=plain) for labels in (10, 30)]
    rows.append(EvidenceRow("label", judged, labels=40, served=blend, alone=HeadAnswer(judged, head)))
    rows.append(EvidenceRow("other", judged, labels=40, served=plain))
    rows.append(EvidenceRow("label", judged, labels=40))  # of an earlier release: nothing kept
    assert choose_rows(rows, "label", 60, blended=True) == [blend]
    assert choose_rows(rows, "label", 60, blended=False) == [plain, head]
    assert choose_rows(rows, "label", 20, blended=False) == [plain, plain, head]
