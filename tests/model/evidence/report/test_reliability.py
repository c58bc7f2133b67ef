"""Whether confidences mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evidence.report.reliability import measure_reliability
from model.numerics.metrics import expected_calibration_error


def test_bins_say_how_sure_and_how_often_right() -> None:
    found = measure_reliability([0.95] * 10 + [0.5] * 4, [True] * 8 + [False] * 2 + [True, False] * 2)
    assert [(one.n, one.right) for one in found.bins] == [(4, 0.5), (10, 0.8)]
    low, high = found.bins[1].interval
    assert low < 0.8 < high and found.error == pytest.approx(0.15 * 10 / 14, abs=1e-4)
    assert measure_reliability([], []).bins == []


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_the_error_is_that_of_the_bins(answers: list[tuple[float, bool]]) -> None:
    scores, right = [score for score, _ in answers], [hit for _, hit in answers]
    found = measure_reliability(scores, right)
    assert sum(one.n for one in found.bins) == found.n == len(answers)
    gaps = sum(one.n * abs(one.confidence - one.right) for one in found.bins) / found.n
    assert found.error == pytest.approx(gaps, abs=1e-3)
    assert found.error == pytest.approx(expected_calibration_error(np.array(scores), np.array(right)), abs=1e-4)
