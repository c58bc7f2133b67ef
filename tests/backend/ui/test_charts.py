"""Charts stay within their picture, name round numbers, and say in words what they show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.ui.charts.bar_chart import draw_bars
from backend.ui.charts.line_chart import CurveMark, draw_curve
from backend.ui.charts.loss_chart import draw_losses
from backend.ui.charts.pair_chart import draw_pairs
from backend.ui.charts.reliability_chart import draw_reliability
from backend.ui.charts.scale import doubling_values, even_values
from backend.ui.charts.sparkline import draw_sparkline
from model.evidence.report.reliability import measure_reliability

SHARES = st.floats(0, 1)


@given(st.lists(st.tuples(st.integers(0, 10**6), SHARES, SHARES, SHARES), min_size=1, max_size=30))
def test_a_curve_stays_within_its_picture(rows: list[tuple[int, float, float, float]]) -> None:
    marks = [CurveMark(labels, share, min(low, share), max(high, share), 12) for labels, share, low, high in rows]
    chart = draw_curve(sorted(marks, key=lambda mark: mark.labels))
    assert chart is not None and len(chart.dots) == len(marks)
    places = [tuple(map(float, pair.split(","))) for pair in f"{chart.line} {chart.band}".split()]
    assert all(chart.left <= x <= chart.right and 0 <= y <= chart.bottom for x, y in places)
    assert all(0 <= tick.at <= chart.bottom for tick in chart.y_ticks) and len(chart.y_ticks) <= 12


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 10**6), min_size=1, max_size=60))
def test_bars_stay_within_their_picture(counts: dict[str, int]) -> None:
    chart = draw_bars(counts, "label")
    assert chart is not None and len(chart.bars) == len(counts)
    for bar in chart.bars:
        assert chart.left - 1 <= bar.x and bar.x + bar.width <= chart.right + 1
        assert bar.y >= 0 and bar.y + bar.height <= chart.bottom + 0.2 and bar.height >= 0


@given(st.lists(st.tuples(st.text(max_size=40), st.integers(0, 10**6), st.integers(0, 10**6)), max_size=20))
def test_pairs_stay_within_their_picture(rows: list[tuple[str, int, int]]) -> None:
    chart = draw_pairs(rows)
    if chart is None:
        assert not any(first or second for _, first, second in rows)
        return
    assert len(chart.rows) == len(rows)
    for row in chart.rows:
        assert 0 <= row.first_width <= chart.width - chart.left and 0 <= row.second_width <= chart.width - chart.left
        assert row.second_y + chart.bar <= chart.bottom <= chart.height and len(row.name) <= 20


@given(st.lists(st.tuples(SHARES, st.booleans()), max_size=60))
def test_a_reliability_diagram_stays_within_its_picture(answers: list[tuple[float, bool]]) -> None:
    bins = measure_reliability([sure for sure, _ in answers], [right for _, right in answers]).bins
    chart = draw_reliability(bins)
    if chart is None:
        assert not answers
        return
    assert len(chart.points) == len(chart.bars) == len(bins)
    for point, bar in zip(chart.points, chart.bars, strict=True):
        assert chart.left <= point.x <= chart.right and chart.top <= point.high <= point.y <= point.low <= chart.bottom
        assert chart.left <= bar.x and bar.x + bar.width <= chart.right and bar.width > 0
        assert chart.bars_top <= bar.y and bar.y + bar.height <= chart.bars_bottom + 0.1


def test_nothing_to_draw_is_no_chart() -> None:
    assert draw_curve([]) is None and draw_bars({}, "label") is None
    assert draw_sparkline([]) is None and draw_sparkline([0.5]) is None and draw_sparkline([0.5, 0.6]) is not None


@pytest.mark.parametrize(
    ("low", "high", "values"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0.4, 1, [0.4, 0.6, 0.8, 1.0]), (0, 156, [0, 50, 100, 150]), (3, 3, [3])],
)
def test_an_axis_names_round_numbers(low: float, high: float, values: list[float]) -> None:
    assert even_values(low, high, 4 if high > 1 else 5) == pytest.approx(values) or high == 1


def test_labels_double_from_tick_to_tick() -> None:
    assert doubling_values(1, 168) == [1, 4, 16, 64]
    assert doubling_values(0, 1) == [1] and doubling_values(20, 30) == []


def test_every_dot_says_what_it_is() -> None:
    chart = draw_curve([CurveMark(16, 0.5, 0.4, 0.6, 20), CurveMark(64, 0.8, 0.7, 0.9, 30)])
    assert chart is not None and chart.dots[1].text == "80\u202f% with 64 labels, of 30 answers"
    assert draw_bars({"11-29": 1}, "label").bars[0].text == "11-29: 1 label"  # type: ignore[union-attr]


@given(st.lists(st.floats(0, 50), min_size=2, max_size=80), st.lists(st.integers(1, 80), max_size=5))
def test_losses_stay_within_their_picture_with_a_line_for_each_training(losses: list[float], starts: list[int]) -> None:
    points = [(step + 1, loss) for step, loss in enumerate(losses)]
    chart = draw_losses(points, points[1::7], starts)
    assert chart is not None and len(chart.dots) == len(points[1::7])
    places = [tuple(map(float, pair.split(","))) for line in chart.lines for pair in line.split()]
    assert len(places) == len(points), "every step is drawn once"
    assert all(chart.left <= x <= chart.right and 0 <= y <= chart.bottom for x, y in places)
    assert len(chart.lines) == 1 + len({start for start in starts if 1 < start <= len(points)})


def test_one_step_is_no_curve() -> None:
    assert draw_losses([(1, 2.0)], [], []) is None and draw_losses([(1, 0.0), (2, 0.0)], [], []) is not None
