"""The charts as templates ask for them, from the data of a view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from backend.ui.charts.bar_chart import BarChart, draw_bars
from backend.ui.charts.line_chart import CurveMark, LineChart, draw_curve
from backend.ui.charts.loss_chart import LossChart, Point, draw_losses
from backend.ui.charts.pair_chart import PairChart, draw_pairs
from backend.ui.charts.reliability_chart import ReliabilityChart, draw_reliability
from backend.ui.charts.sparkline import Sparkline, draw_sparkline
from backend.ui.formats import format_count, format_interval, format_percent, format_score
from model.evidence.learning_curve import CurvePoint
from model.evidence.report.reliability import Reliability

PEOPLE_SHOWN = 10
"""Bars whose names fit below them."""

PAIRS_SHOWN = 12


class HasCounts(Protocol):
    """A class that was `given` and `said` so often."""

    @property
    def name(self) -> str: ...
    @property
    def given(self) -> int: ...
    @property
    def said(self) -> int: ...


class Gallery:
    """One method a chart, and one for the table behind it. None for nothing to draw."""

    def curve(self, points: Sequence[CurvePoint]) -> LineChart | None:
        """A learning curve."""
        return draw_curve(
            [CurveMark(p["labels"], p["accuracy"], p["interval"][0], p["interval"][1], p["n"]) for p in points]
        )

    def curve_rows(self, points: Sequence[CurvePoint]) -> list[tuple[str, ...]]:
        """The same in words."""
        return [
            (
                format_count(p["labels"]),
                format_percent(p["accuracy"]),
                format_interval(p["interval"]),
                format_count(p["n"]),
                format_score(p["confidence"]),
                format_score(p["ece"]),
            )
            for p in points
        ]

    def days(self, counts: Mapping[str, int]) -> BarChart | None:
        """Labels by day."""
        return draw_bars({day[5:]: count for day, count in counts.items()}, "label")

    def people(self, counts: Mapping[str, int]) -> BarChart | None:
        """Labels by annotator, at most PEOPLE_SHOWN of them, each named."""
        return draw_bars(dict(list(counts.items())[:PEOPLE_SHOWN]), "label", PEOPLE_SHOWN)

    def pairs(self, classes: Sequence[HasCounts]) -> PairChart | None:
        """How often the classes that were given or answered most were each."""
        often = sorted(classes, key=lambda one: -(one.given + one.said))[:PAIRS_SHOWN]
        return draw_pairs([(one.name, one.given, one.said) for one in often if one.given + one.said])

    def losses(self, loss: Sequence[Point], held_out: Sequence[Point], starts: Sequence[int]) -> LossChart | None:
        """The losses of a fine-tune."""
        return draw_losses(loss, held_out, starts)

    def loss_rows(self, loss: Sequence[Point], held_out: Sequence[Point]) -> list[tuple[str, ...]]:
        """The same in words: step, loss, loss on held-out rows."""
        first, second = dict(loss), dict(held_out)
        return [
            (format_count(step), *(f"{own[step]:.3f}" if step in own else "" for own in (first, second)))
            for step in sorted({*first, *second})
        ]

    def reliability(self, found: Reliability) -> ReliabilityChart | None:
        """How sure, and how often right."""
        return draw_reliability(found.bins)

    def reliability_rows(self, found: Reliability) -> list[tuple[str, ...]]:
        """The same in words."""
        return [
            (
                f"{format_percent(one.low)} to {format_percent(one.high)}",
                format_count(one.n),
                format_percent(one.confidence),
                format_percent(one.right),
                format_interval(one.interval),
            )
            for one in found.bins
        ]

    def sparkline(self, shares: Sequence[float]) -> Sparkline | None:
        return draw_sparkline(shares)
