"""Long texts in stretches: each is read by itself with some text around it, as if it were a text of its own.

So no long text is read in one go: whoever waits gets what is read by then, others come in between, and what was read
stays in the cache. A word is read with MARGIN characters on both sides of its stretch, which is more than it has at
the edge of a window of the encoder anyway.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from model.spans.words import Bounds

LONG_TEXT = 16_000
"""Characters from which on a text is read in stretches: about two seconds of a core. So many are read at once, too,
where somebody waits."""

STRETCH, MARGIN = 8_000, 500
"""Characters of the words of a stretch, and of what is read around them."""

FIRST_STRETCHES = LONG_TEXT // STRETCH
"""Stretches that are read where somebody waits."""


@dataclass(frozen=True)
class Stretch:
    """Words of a long text. `text` and `bounds`: what is read for them, with the words around; `first` and `last`: the
    place of its own words among those, and the one after them."""

    text: str
    bounds: Bounds
    first: int
    last: int


def cut_stretches(text: str, bounds: Bounds) -> list[Stretch]:
    """The stretches of a text with these words, from left to right; every word is in one of them."""
    starts, ends = [start for start, _ in bounds], [end for _, end in bounds]
    found, first = [], 0
    while first < len(bounds):
        last = max(first + 1, bisect_right(ends, starts[first] + STRETCH))
        begin = min(first, bisect_left(starts, starts[first] - MARGIN))
        until = max(last, bisect_right(ends, ends[last - 1] + MARGIN))
        offset = starts[begin]
        around = [(start - offset, end - offset) for start, end in bounds[begin:until]]
        found.append(Stretch(text[offset : ends[until - 1]], around, first - begin, last - begin))
        first = last
    return found
