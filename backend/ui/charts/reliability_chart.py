"""How often answers were right, by how sure they were, with the number of each below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backend.ui.charts.bar_chart import Bar
from backend.ui.charts.scale import Scale, Tick, even_values
from backend.ui.formats import format_count, format_interval, format_percent, pluralise
from model.evidence.report.reliability import ReliabilityBin

WIDTH, HEIGHT = 420.0, 380.0
LEFT, RIGHT, TOP = 48.0, 24.0, 12.0
BOTTOM = 290.0
"""Of the square; the bars hang below it."""

BARS_TOP, BARS_BOTTOM = 330.0, 374.0
LEAST_BAR = 1.5
"""Pixels of the bar of a single answer."""


@dataclass(frozen=True)
class Point:
    """The answers of a bin: where their mean confidence and the share that was right meet, and its interval."""

    x: float
    y: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class ReliabilityChart:
    """`bars`: how many answers each bin has; `most`: the number of the highest. The diagonal is where answers are right
    as often as they are sure."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    points: list[Point]
    bars: list[Bar]
    most: str
    bars_top: float
    bars_bottom: float
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def draw_reliability(bins: Sequence[ReliabilityBin]) -> ReliabilityChart | None:
    """None for no answers."""
    if not bins:
        return None
    x, y = Scale(0, 1, LEFT, WIDTH - RIGHT), Scale(0, 1, BOTTOM, TOP)
    most = max(one.n for one in bins)
    count = Scale(0, most, 0, BARS_BOTTOM - BARS_TOP)
    points, bars = [], []
    for one in bins:
        place = x.place(one.confidence)
        said = f"{format_percent(one.right)} right ({format_interval(one.interval)}) of {pluralise(one.n, 'answer')}"
        text = f"{said} that were {format_percent(one.confidence)} sure"
        points.append(Point(place, y.place(one.right), y.place(one.interval[0]), y.place(one.interval[1]), text))
        left, height = x.place(one.low) + 1, max(LEAST_BAR, count.place(one.n))
        width = round(x.place(one.high) - left - 1, 1)
        bars.append(Bar(round(left, 1), round(BARS_BOTTOM - height, 1), width, height, text))
    ticks = even_values(0, 1)
    return ReliabilityChart(
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        top=TOP,
        bottom=BOTTOM,
        points=points,
        bars=bars,
        most=format_count(most),
        bars_top=BARS_TOP,
        bars_bottom=BARS_BOTTOM,
        x_ticks=[Tick(x.place(value), format_percent(value)) for value in ticks],
        y_ticks=[Tick(y.place(value), format_percent(value)) for value in ticks],
    )
