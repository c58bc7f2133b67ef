"""The turns of a Paragraphs task as one text, and places in it as the page counts them: turn and UTF-16 units."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from functools import cmp_to_key
from itertools import accumulate

from backend.errors import Undecidable
from backend.labelstudio.spans.task_value import javascript_string
from backend.labelstudio.text.object_text import clean

SEPARATOR = "\n"
"""Stands between turns in the text that the model reads; the page has nothing there."""

Place = tuple[int, int]
"""A turn, and UTF-16 units into it."""


class Turns:
    """The turns of one task."""

    def __init__(self, texts: list[str]) -> None:
        self.text = SEPARATOR.join(texts)
        self._lengths = [len(text) for text in texts]
        self._starts = [0, *accumulate(length + len(SEPARATOR) for length in self._lengths)][: len(texts)]
        # Characters of two units in each turn: all others are one.
        self._wide = [
            [at for at, char in enumerate(text) if char > "\uffff"] if not text.isascii() else [] for text in texts
        ]

    def places(self, start: int, end: int) -> tuple[Place, Place] | None:
        """First and last place of a span; None when it holds nothing but a separator."""
        first, last = self._turn(start), self._turn(end - 1)
        begin, stop = start - self._starts[first], end - self._starts[last]
        while begin >= self._lengths[first] and first < last:  # begins with a separator
            first, begin = first + 1, 0
        stop = min(stop, self._lengths[last])
        if (first, begin) >= (last, stop):
            return None
        return (first, self._units(first, begin)), (last, self._units(last, stop))

    def position(self, place: Place, *, end: bool = False) -> int | None:
        """Where a place is in the text; None when it is outside its turn, or there is no such turn. Half a character
        is taken whole."""
        turn, units = place
        if not 0 <= turn < len(self._starts) or units < 0:
            return None
        wide = self._wide[turn]
        if units > self._lengths[turn] + len(wide):
            return None
        # The n-th wide character begins at unit `wide[n] + n`.
        before = bisect_left(range(len(wide)), units, key=lambda n: wide[n] + n)
        split = before > 0 and wide[before - 1] + before == units
        return self._starts[turn] + units - before + (1 if split and end else 0)

    def splits_character(self, place: Place) -> bool:
        """Whether a place is between the halves of a character."""
        return self.position(place) != self.position(place, end=True)

    def _turn(self, position: int) -> int:
        return bisect_right(self._starts, position) - 1

    def _units(self, turn: int, characters: int) -> int:
        return characters + bisect_left(self._wide[turn], characters)


def read_turns(value: object, text_key: str, *, by_time: bool = False) -> Turns:
    """The turns in a task's data, without their authors, whose names the page does not count.

    Raises Undecidable for what the page cannot show: turns that are no objects."""
    if not isinstance(value, list) or not all(isinstance(turn, Mapping) for turn in value):
        raise Undecidable("Paragraphs show a list of objects, one for each turn", field="data")
    if value and not any(text_key in turn for turn in value):
        raise Undecidable(f"no paragraph has a {text_key!r}", field="data")
    turns = sorted(value, key=cmp_to_key(_by_time)) if by_time else value
    return Turns([_text(turn.get(text_key)) for turn in turns])


def _text(value: object) -> str:
    return "" if value is None else clean(javascript_string(value))


def _by_time(first: Mapping[str, object], second: Mapping[str, object]) -> int:
    """The page's own order, in which a turn without a start, or that starts at 0, goes last when it is met first."""
    one, two = _seconds(first, "start"), _seconds(second, "start")
    if not one:
        return 1
    if not two:
        return -1
    if one != two:
        return -1 if one < two else 1
    ends = [
        _seconds(turn, "end") or (begin + _seconds(turn, "duration")) for turn, begin in ((first, one), (second, two))
    ]
    return (ends[0] > ends[1]) - (ends[0] < ends[1])


def _seconds(turn: Mapping[str, object], name: str) -> float:
    value = turn.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15 else 0.0
