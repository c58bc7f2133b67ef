"""Two counts a class, one bar below the other: how often it was given, and how often it was answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backend.ui.charts.scale import Scale, Tick, even_values
from backend.ui.formats import format_count

WIDTH = 420.0
LEFT, RIGHT, TOP, BOTTOM = 150.0, 16.0, 4.0, 28.0
ROW, BAR, GAP = 34.0, 11.0, 2.0
NAME_CHARACTERS = 20
"""Of a name beside its bars."""


@dataclass(frozen=True)
class PairBars:
    """The bars of one class: `y` and width of each."""

    name: str
    title: str
    middle: float
    first_y: float
    first_width: float
    second_y: float
    second_width: float


@dataclass(frozen=True)
class PairChart:
    width: float
    height: float
    left: float
    bottom: float
    top: float
    bar: float
    rows: list[PairBars]
    x_ticks: list[Tick]


def draw_pairs(rows: Sequence[tuple[str, int, int]]) -> PairChart | None:
    """Name, first and second count of each class, in this order; None for none."""
    most = max((max(first, second) for _, first, second in rows), default=0)
    if not most:
        return None
    x = Scale(0, most, LEFT, WIDTH - RIGHT)
    found = []
    for place, (name, first, second) in enumerate(rows):
        top = TOP + place * ROW
        found.append(
            PairBars(
                name=name if len(name) <= NAME_CHARACTERS else f"{name[: NAME_CHARACTERS - 1]}…",
                title=f"{name}: given {format_count(first)} times, answered {format_count(second)} times",
                middle=top + BAR + 7,
                first_y=top + 4,
                first_width=round(x.place(first) - LEFT, 1),
                second_y=top + 4 + BAR + GAP,
                second_width=round(x.place(second) - LEFT, 1),
            )
        )
    bottom = TOP + len(rows) * ROW
    ticks = [Tick(x.place(value), format_count(value)) for value in even_values(0, most, 4) if value == round(value)]
    return PairChart(WIDTH, bottom + BOTTOM, LEFT, bottom, TOP, BAR, found, ticks)
