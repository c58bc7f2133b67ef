"""From values to places on a picture, and the round numbers that an axis names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

NICE_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
"""Steps of an axis, times a power of ten."""


@dataclass(frozen=True)
class Tick:
    """A value that an axis names, and where it stands in pixels."""

    at: float
    text: str


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` onto pixels from `start` to `end`; by their logarithm where `log`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        """In pixels, to a tenth; what lies outside stands at the edge."""
        low, high, value = self._of(self.low), self._of(self.high), self._of(value)
        share = 0.5 if high == low else (value - low) / (high - low)
        return round(self.start + min(1.0, max(0.0, share)) * (self.end - self.start), 1)

    def _of(self, value: float) -> float:
        return math.log(max(value, 1e-9)) if self.log else value


def even_values(low: float, high: float, wanted: int = 5) -> list[float]:
    """About so many round values from `low` to `high`."""
    if high <= low:
        return [low]
    rough = (high - low) / wanted
    power = 10 ** math.floor(math.log10(rough))
    step = power * next(nice for nice in NICE_STEPS if nice * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return [round((first + index) * step, 10) for index in range(count)]


def doubling_values(low: float, high: float, wanted: int = 6) -> list[float]:
    """Powers of two from `low` to `high`, thinned to about `wanted`."""
    first, last = math.ceil(math.log2(max(low, 1))), math.floor(math.log2(max(high, 1)))
    step = max(1, math.ceil((last - first + 1) / wanted))
    return [2.0**power for power in range(first, last + 1, step)]


def share_range(values: Sequence[float], least: float = 0.1) -> tuple[float, float]:
    """The part of 0 to 1 that shows these shares well: round tenths, at least `least` high."""
    low = math.floor(10 * min(values, default=0.0)) / 10
    high = math.ceil(10 * max(values, default=1.0)) / 10
    if high - low < least:
        low = max(0.0, high - least)
    return max(0.0, low), min(1.0, max(high, low + least))
