"""A curve as small as a word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backend.ui.charts.scale import Scale, share_range

WIDTH, HEIGHT, EDGE = 96.0, 24.0, 3.0


@dataclass(frozen=True)
class Sparkline:
    """`line`: the points of an SVG polyline; the last one also stands at `x`, `y`."""

    width: float
    height: float
    line: str
    x: float
    y: float


def draw_sparkline(shares: Sequence[float]) -> Sparkline | None:
    """None for fewer than two shares, which make no line."""
    if len(shares) < 2:
        return None
    low, high = share_range(shares)
    x, y = Scale(0, len(shares) - 1, EDGE, WIDTH - EDGE), Scale(low, high, HEIGHT - EDGE, EDGE)
    places = [(x.place(index), y.place(share)) for index, share in enumerate(shares)]
    return Sparkline(WIDTH, HEIGHT, " ".join(f"{left:g},{top:g}" for left, top in places), *places[-1])
