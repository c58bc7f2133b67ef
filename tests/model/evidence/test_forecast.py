"""The forecast of labels to a gain, on curves whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.evidence.forecast import (
    F1_DEVIATION,
    Forecast,
    Stage,
    SurveyMean,
    f1_stages_of,
    fit_forecast,
    needs_of_classes,
    runs_ahead,
    stages_of,
)
from model.evidence.row import EvidenceRow, Judgement, Marked

COUNTS = [16 * 2 ** (half / 2) for half in range(12)]


def power_law(labels: float, decay: float = 0.3) -> float:
    return 0.9 - 0.6 * labels**-decay


def stages(seed: int = 0, noise: float = 0.004) -> list[Stage]:
    random = np.random.default_rng(seed)
    return [Stage(count, power_law(count) + noise * random.standard_normal(), 40, 0.0, 0.16) for count in COUNTS]


def fitted(of: list[Stage]) -> Forecast:
    found = fit_forecast(of)
    assert found is not None
    return found


@pytest.mark.parametrize("gain", [0.01, 0.02])
def test_a_power_law_is_foreseen(gain: float) -> None:
    now, today = COUNTS[-1], power_law(COUNTS[-1])
    truth = next(n for n in range(int(now), 10**6) if power_law(n) >= today + gain)
    found = [fitted(stages(seed)).labels_to(gain) for seed in range(20)]
    near = [1 / 1.5 <= (told["median"] or told["beyond"]) / truth <= 1.5 for told in found]
    inside = [told["low"] <= truth and (told["high"] is None or truth <= told["high"]) for told in found]
    assert np.mean(near) >= 0.9 and np.mean(inside) >= 0.8


def test_a_flat_curve_has_no_number_but_a_bound() -> None:
    told = fitted([Stage(count, 0.9, 50, 0.0, 0.09) for count in COUNTS]).labels_to(0.05)
    assert told["median"] is None and told["beyond"] == round(8 * COUNTS[-1])
    assert fitted(stages()).labels_to(0.5)["low"] is None, "more than all errors cannot be gained"


def test_a_larger_gain_takes_more_labels() -> None:
    forecast = fitted(stages())
    medians = [forecast.labels_to(gain)["median"] for gain in (0.005, 0.01, 0.02, 0.03)]
    assert medians == sorted(medians) and medians[0] > COUNTS[-1]


def test_two_stages_tell_nothing() -> None:
    assert fit_forecast(stages()[:2]) is None and fit_forecast([]) is None


def test_the_gap_of_many_tests_corrects_the_confidence_and_that_of_few_hardly() -> None:
    few, many = Stage(100, 0.9, 4, 0.1, 0.16), Stage(100, 0.9, 4000, 0.1, 0.16)
    assert many.accuracy[0] == pytest.approx(0.8, abs=0.01) and few.accuracy[0] > 0.895
    assert many.accuracy[1] < few.accuracy[1] < Stage(100, 0.9).accuracy[1] * 1.001


def test_stages_are_surveys_with_the_tests_of_their_time() -> None:
    surveys = [{"labels": n, "confidence": 0.5 + n / 1000} for n in (16, 32, 64)]
    rows = [EvidenceRow("label", Judgement(0.6, bool(n % 2), 0.0), labels=n) for n in range(16, 64)]
    found = stages_of(surveys, [*rows, replace(rows[0], control="other")], "label")
    assert [(stage.labels, stage.tests) for stage in found] == [(16, 16), (32, 32), (64, 0)]
    assert found[0].gap == pytest.approx(0.1) and found[1].confidence == 0.532


def test_a_class_needs_what_it_lacks() -> None:
    assert needs_of_classes({"refund": 5, "order": 400, "rare": 0}) == {"rare": 25, "refund": 20}
    assert needs_of_classes({}) == {}


def marked_row(labels: int, scores: list[float], right: list[bool], drawn: int, expected: float | None) -> EvidenceRow:
    shown = tuple(("PER", score, ok) for score, ok in zip(scores, right, strict=True))
    marks = Marked(shown, ("PER",) * drawn, 0, expected=expected)
    return EvidenceRow("label", Judgement(0.5, True, 0.1), labels=labels, marked=marks)


def test_stages_of_f1_compare_what_was_expected_with_what_came() -> None:
    surveys: list[SurveyMean] = [{"labels": 10, "confidence": 0.6}, {"labels": 20, "confidence": 0.7}]
    honest = [marked_row(12, [0.5, 0.5], [True, False], 2, 2.0)] * 30
    proud = [marked_row(25, [0.9, 0.9], [True, False], 2, 2.0)] * 30
    old = [marked_row(25, [0.9], [False], 3, None)] * 9
    first, second = f1_stages_of(surveys, [*honest, *proud, *old], "label")
    assert (first.labels, first.confidence, first.tests, first.gap) == (10, 0.6, 30, pytest.approx(0.0))
    assert second.tests == 30 and second.gap == pytest.approx(0.4), "2 * 1.8 / 4 was expected, 2 * 1 / 4 came"
    assert first.spread == pytest.approx(0.0)
    assert f1_stages_of(surveys, [], "label")[0] == Stage(10, 0.6, deviation=F1_DEVIATION)
    assert f1_stages_of(surveys, [marked_row(12, [], [], 0, 0.0)], "label")[0].gap == 0


def of_tests(gaps: list[float], tests: int = 60) -> list[Stage]:
    return [
        Stage(count, 0.5 + gap, tests, gap, 0.2, F1_DEVIATION)
        for count, gap in zip(COUNTS[-len(gaps) :], gaps, strict=True)
    ]


def test_what_is_expected_runs_ahead_where_tests_do_not_follow() -> None:
    assert runs_ahead(of_tests([0.0, 0.05, 0.1, 0.15, 0.2])), "F1 stands still and what is expected of it rises"
    assert not runs_ahead(of_tests([0.2, 0.15, 0.1, 0.05, 0.0])), "the expectation grows honest"
    assert not runs_ahead(of_tests([0.3, 0.3, 0.3, 0.3])), "far off, but it always was"
    assert not runs_ahead(of_tests([0.0, 0.05, 0.1, 0.15, 0.2], tests=4)), "four texts a stage prove nothing"
    assert not runs_ahead(of_tests([0.0, 0.4])) and not runs_ahead([]), "two stages tell nothing"
    assert not runs_ahead([Stage(count, 0.5) for count in COUNTS]), "nothing was tested"
    early = [Stage(2, 0.9, 500, -0.9, 0.2), *of_tests([0.0, 0.0, 0.0])]
    assert not runs_ahead(early), "what was long ago says nothing of today"


def test_by_chance_it_runs_ahead_once_in_ten_times() -> None:
    random = np.random.default_rng(5)
    found = [runs_ahead(of_tests((0.05 + random.standard_normal(5) * (0.2 / 60) ** 0.5).tolist())) for _ in range(1000)]
    assert np.mean(found) == pytest.approx(0.1, abs=0.03)


def test_tests_correct_an_expected_f1_more_than_a_mean_confidence() -> None:
    of_f1, of_answers = Stage(100, 0.9, 40, 0.1, 0.16, F1_DEVIATION), Stage(100, 0.9, 40, 0.1, 0.16)
    assert of_f1.accuracy[0] < 0.84 < of_answers.accuracy[0] and of_f1.accuracy[1] > of_answers.accuracy[1]


def test_the_spread_of_a_ratio_is_that_of_resampled_texts() -> None:
    random = np.random.default_rng(4)
    rows = []
    for _ in range(400):
        shown = int(random.integers(0, 4))
        right = (random.random(shown) < 0.7).tolist()
        rows.append(marked_row(12, [0.7] * shown, right, sum(right) + int(random.integers(0, 2)), shown * 0.7 + 0.5))
    surveys: list[SurveyMean] = [{"labels": 10, "confidence": 0.6}]
    [stage] = f1_stages_of(surveys, rows, "label")
    draws = [[rows[place] for place in random.integers(0, 400, 400)] for _ in range(300)]
    gaps = [f1_stages_of(surveys, drawn, "label")[0].gap for drawn in draws]
    assert stage.spread / 400 == pytest.approx(np.var(gaps), rel=0.35)
