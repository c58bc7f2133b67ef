"""The auto-accept dial: exact where it can be counted, and keeping its promise where it can only be drawn."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import beta, hypergeom

from model.evidence.auto_accept import (
    chance_of_few,
    choose_rows,
    find_threshold,
    finite_lower_bound,
    finite_p_value,
    tests_needed,
)
from model.evidence.row import EvidenceRow, Judgement, Marked

tests_needed.__test__ = False  # type: ignore[attr-defined]  # not for pytest


def test_the_p_value_is_a_count_of_shuffles() -> None:
    """4 tests with 1 error, 6 accepted: of all places for 1 + 3 errors, those with at most 1 among the tests."""
    places = list(combinations(range(10), 4))
    few = sum(sum(place < 4 for place in chosen) <= 1 for chosen in places)
    assert finite_p_value(1, 4, 6, target=0.6) == pytest.approx(few / len(places))


@pytest.mark.parametrize("errors", [0, 1, 7])
def test_the_chance_of_few_errors_is_that_of_scipy(errors: int) -> None:
    random = np.random.default_rng(errors)
    total = random.integers(20, 3000, 200)
    wrong, tests = (random.integers(0, total) for _ in range(2))
    ours = chance_of_few(errors, total, wrong, tests)
    assert ours == pytest.approx(hypergeom.cdf(errors, total, wrong, tests), abs=1e-9)


def test_for_endless_pools_the_bound_is_clopper_pearsons() -> None:
    assert finite_lower_bound(3, 200, 1_000_000) == pytest.approx(1 - beta.ppf(0.95, 4, 197), abs=2e-4)
    assert finite_lower_bound(0, 50, 10) < 1.0 and finite_lower_bound(5, 5, 10) == 0.0


def test_the_bound_and_the_p_value_tell_the_same() -> None:
    bound = finite_lower_bound(2, 150, 400)
    assert finite_p_value(2, 150, 400, bound - 1e-6) <= 0.05 < finite_p_value(2, 150, 400, bound + 1 / 400)


@pytest.mark.parametrize("target", [0.9, 0.95])
def test_the_promise_is_kept_in_nineteen_of_twenty_draws(target: float) -> None:
    """Confidence is over-sure by ten points: the dial must not believe it."""
    random, kept, found = np.random.default_rng(3), 0, 0
    for _ in range(150):
        confidence = random.beta(1, 0.2, 1500)
        right = random.random(1500) < np.where(confidence < 0.97, confidence - 0.1, 0.99)
        dial = find_threshold(confidence[:500], right[:500], confidence[500:], target)
        if dial.threshold is None:
            kept += 1
            continue
        found += 1
        accepted = confidence[500:] >= dial.threshold
        assert dial.count == accepted.sum() and dial.lower_bound >= target - 1 / dial.count
        kept += bool(right[500:][accepted].mean() >= target)
    assert kept >= 0.95 * 150
    assert found > 75, "a dial that never accepts keeps every promise"


def test_without_tests_it_says_how_many_are_missing() -> None:
    dial = find_threshold([0.9] * 30, [True] * 30, [0.95] * 500, 0.98)
    assert dial.threshold is None and dial.count == 0
    # As many as prove it for the surest fifth, 100 tasks: the 30 tests were of less sure answers.
    assert dial.more == tests_needed(100, 0.98) and "0 tests" in dial.reason
    assert find_threshold([0.9] * 30, [True] * 30, [], 0.9).reason == "no unlabelled task is left"
    assert find_threshold([], [], [0.9], 0.9).threshold is None


def test_everything_is_accepted_where_all_tests_are_right() -> None:
    dial = find_threshold([0.6, 0.9] * 200, [True] * 400, [0.61, 0.95] * 50, 0.98)
    assert (dial.threshold, dial.count, dial.share, dial.errors) == (0.6, 100, 1.0, 0)


def test_rows_of_early_versions_do_not_count_and_random_ones_go_first() -> None:
    rows = [EvidenceRow("label", Judgement(0.9, True, 0.1), labels=n) for n in (10, 50, 99)]
    assert choose_rows(rows, "label", 100) == rows[1:]
    drawn = [replace(rows[1], blind=True)] * 120
    assert choose_rows([*rows, *drawn], "label", 100) == drawn
    assert choose_rows(rows, "stars", 0) == []


def test_texts_in_which_nothing_was_shown_are_no_tests_of_what_is_accepted() -> None:
    def row(shown: int, right: bool) -> EvidenceRow:
        marks = Marked((("PER", 0.9, right),) * shown, ("PER",) * shown, 0)
        return EvidenceRow("label", Judgement(0.9, right, 0.1), labels=100, marked=marks)

    rows = [row(0, True)] * 200 + [row(2, True)] * 20 + [row(1, False)] * 10
    chosen = choose_rows(rows, "label", 100)
    assert len(chosen) == 30 and all(one.marked is not None and one.marked.shown for one in chosen)
