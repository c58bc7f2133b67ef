"""Bars that stand side by side, such as the labels of each day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from backend.ui.charts.scale import Scale, Tick, even_values
from backend.ui.formats import format_count, pluralise

WIDTH, HEIGHT = 640.0, 180.0
LEFT, RIGHT, TOP, BOTTOM = 60.0, 12.0, 12.0, 32.0
GAP_SHARE = 0.25
"""Of a bar's place that is left free."""

CHARACTER = 9.5
"""Pixels of one on the axis of a narrow screen, more or less."""

WIDEST = 48.0
"""Pixels of a bar at most: one day is no wall."""


@dataclass(frozen=True)
class Bar:
    """A bar in pixels, and what it says."""

    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class BarChart:
    width: float
    height: float
    left: float
    right: float
    bottom: float
    bars: list[Bar]
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def draw_bars(counts: Mapping[str, int], noun: str, ticks: int = 6) -> BarChart | None:
    """Name -> how many `noun`s, in this order; None for none. At most about `ticks` names are written below."""
    if not counts:
        return None
    values = even_values(0, max(counts.values()), 4)
    top = max(max(counts.values()), values[-1])
    y = Scale(0, top, HEIGHT - BOTTOM, TOP)
    place = (WIDTH - LEFT - RIGHT) / len(counts)
    width = min(WIDEST, place * (1 - GAP_SHARE))
    bars, x_ticks = [], []
    every = max(1, -(-len(counts) // ticks))
    for index, (name, count) in enumerate(counts.items()):
        middle = LEFT + (index + 0.5) * place
        height = round(HEIGHT - BOTTOM - y.place(count), 1)
        left = round(middle - width / 2, 1)
        bars.append(Bar(left, y.place(count), round(width, 1), height, f"{name}: {pluralise(count, noun)}"))
        if (len(counts) - 1 - index) % every == 0:
            x_ticks.append(Tick(round(middle, 1), _shorten(name, int(every * place / CHARACTER))))
    y_ticks = [Tick(y.place(value), format_count(value)) for value in values if value == round(value)]
    return BarChart(WIDTH, HEIGHT, LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, bars, x_ticks, y_ticks)


def _shorten(name: str, most: int) -> str:
    """To what fits below; the bar says all of it."""
    return name if len(name) <= most else f"{name[: max(1, most - 1)]}…"
