"""The losses of a fine-tune by step: of training, a line for each training that it is made of, and on held-out rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backend.ui.charts.line_chart import Dot
from backend.ui.charts.scale import Scale, Tick, even_values
from backend.ui.formats import format_count

WIDTH, HEIGHT = 640.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 60.0, 12.0, 12.0, 40.0
LEAST_TOP = 0.001
"""Of the axis of losses, which are kept with four digits."""

Point = tuple[int, float]


@dataclass(frozen=True)
class LossChart:
    """`lines`: the points of SVG polylines; `dots`: of the looks at held-out rows, `dashes` the line between them."""

    width: float
    height: float
    left: float
    right: float
    bottom: float
    lines: list[str]
    dashes: str
    dots: list[Dot]
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def draw_losses(loss: Sequence[Point], held_out: Sequence[Point], starts: Sequence[int]) -> LossChart | None:
    """None for fewer than two steps. The axis of losses begins at 0."""
    if len(loss) < 2:
        return None
    x = Scale(0, max(step for step, _ in loss), LEFT, WIDTH - RIGHT)
    top = max(LEAST_TOP, *(value for _, value in (*loss, *held_out)))
    values = even_values(0, top, 4)
    y = Scale(0, max(top, values[-1]), HEIGHT - BOTTOM, TOP)
    dots = [Dot(x.place(step), y.place(value), f"held out: {value:.3f} after step {step}") for step, value in held_out]
    return LossChart(
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        bottom=HEIGHT - BOTTOM,
        lines=[_line(part, x, y) for part in _parts(loss, starts)],
        dashes=" ".join(f"{dot.x:g},{dot.y:g}" for dot in dots),
        dots=dots,
        x_ticks=[Tick(x.place(value), format_count(value)) for value in even_values(0, x.high, 6)],
        y_ticks=[Tick(y.place(value), f"{value:g}") for value in values],
    )


def _parts(loss: Sequence[Point], starts: Sequence[int]) -> Iterator[list[Point]]:
    """The points of each training."""
    edges = [*sorted(start for start in starts if start > loss[0][0]), loss[-1][0] + 1]
    first = 0
    for edge in edges:
        if part := [point for point in loss if first <= point[0] < edge]:
            yield part
        first = edge


def _line(part: Sequence[Point], x: Scale, y: Scale) -> str:
    return " ".join(f"{x.place(step):g},{y.place(value):g}" for step, value in part)
