"""The learning curve added up from rows, against the measures on the rows themselves."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.evidence.learning_curve import LEAST_STAGE_ROWS, learning_curve, tally, wilson_interval
from model.evidence.row import EvidenceRow, Judgement
from model.numerics.metrics import expected_calibration_error

RNG = np.random.default_rng(0)


def rows_at(labels: list[int], accuracy: float = 0.8, control: str = "label") -> list[EvidenceRow]:
    scores = RNG.uniform(0, 1, len(labels))
    hits = RNG.random(len(labels)) < accuracy
    facts = zip(labels, scores, hits, strict=True)
    return [EvidenceRow(control, Judgement(float(s), bool(h), float(1 - s)), labels=n) for n, s, h in facts]


def test_a_point_is_what_the_measures_say_of_its_rows() -> None:
    rows = rows_at([100] * 60)
    [point] = learning_curve(tally(rows))["label"]
    scores, hits = np.array([r.confidence for r in rows]), np.array([r.correct for r in rows])
    assert point["labels"] == 100 and point["n"] == 60
    assert point["accuracy"] == pytest.approx(hits.mean(), abs=1e-4)
    assert point["confidence"] == pytest.approx(scores.mean(), abs=1e-4)
    assert point["log_loss"] == pytest.approx((1 - scores).mean(), abs=1e-4)
    assert point["ece"] == pytest.approx(expected_calibration_error(scores, hits), abs=1e-4)


def test_the_curve_rises_with_the_labels_and_keeps_controls_apart() -> None:
    rows = rows_at(list(range(0, 30)), 0.3) + rows_at(list(range(200, 260)), 0.95) + rows_at([7] * 12, 0.5, "stars")
    curve = learning_curve(tally(rows))
    assert set(curve) == {"label", "stars"} and len(curve["stars"]) == 1
    assert [p["labels"] for p in curve["label"]] == sorted(p["labels"] for p in curve["label"])
    assert curve["label"][0]["accuracy"] < curve["label"][-1]["accuracy"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3000), max_size=200), st.integers(0, 200))
def test_sums_may_be_kept_in_pieces_and_no_row_is_lost(labels: list[int], cut: int) -> None:
    rows = rows_at(labels)
    pieces: Counter[str] = Counter(tally(rows[:cut]))
    for key, value in tally(rows[cut:]).items():
        pieces[key] += value  # type: ignore[assignment]
    points = learning_curve(pieces).get("label", [])
    whole = learning_curve(tally(rows)).get("label", [])
    assert [p["n"] for p in points] == [p["n"] for p in whole] and sum(p["n"] for p in points) == len(rows)
    assert len(points) < 2 or min(p["n"] for p in points) >= LEAST_STAGE_ROWS


def test_the_interval_is_wilsons() -> None:
    from scipy.stats import binomtest

    for hits, n in ((0, 10), (7, 10), (60, 60), (13, 200)):
        oracle = binomtest(hits, n).proportion_ci(method="wilson")
        assert wilson_interval(hits / n, n) == pytest.approx((oracle.low, oracle.high), abs=1e-3)
