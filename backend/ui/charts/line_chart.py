"""A learning curve: shares with their intervals, by the number of labels known then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backend.ui.charts.scale import Scale, Tick, doubling_values, even_values, share_range
from backend.ui.formats import format_count, format_percent

WIDTH, HEIGHT = 640.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 60.0, 12.0, 12.0, 40.0


@dataclass(frozen=True)
class CurveMark:
    """A point: `labels` known, the share, its interval, and of how many answers."""

    labels: int
    share: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Dot:
    """A point as it is drawn, and what it says when it is pointed at."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class LineChart:
    """`line` and `band` are the points of an SVG polyline and polygon."""

    width: float
    height: float
    left: float
    right: float
    bottom: float
    line: str
    band: str
    dots: list[Dot]
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def draw_curve(marks: Sequence[CurveMark]) -> LineChart | None:
    """None for no marks. The axis of labels doubles from tick to tick: a hundred labels more mean much at first and
    little later."""
    if not marks:
        return None
    low, high = share_range([edge for mark in marks for edge in (mark.low, mark.high)])
    first, last = max(1, min(mark.labels for mark in marks)), max(mark.labels for mark in marks)
    x = Scale(first, max(last, first + 1), LEFT, WIDTH - RIGHT, log=True)
    y = Scale(low, high, HEIGHT - BOTTOM, TOP)
    upper = [(x.place(mark.labels), y.place(mark.high)) for mark in marks]
    lower = [(x.place(mark.labels), y.place(mark.low)) for mark in reversed(marks)]
    dots = [Dot(x.place(mark.labels), y.place(mark.share), _say(mark)) for mark in marks]
    return LineChart(
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        bottom=HEIGHT - BOTTOM,
        line=_points([(dot.x, dot.y) for dot in dots]),
        band=_points([*upper, *lower]),
        dots=dots,
        x_ticks=[Tick(x.place(value), format_count(value)) for value in doubling_values(first, last)],
        y_ticks=[Tick(y.place(value), format_percent(value)) for value in even_values(low, high)],
    )


def _say(mark: CurveMark) -> str:
    return f"{format_percent(mark.share)} with {format_count(mark.labels)} labels, of {format_count(mark.n)} answers"


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in places)
