"""Regions in the texts that they are marked in, read: of long texts the stretches that hold some, as far as there is
room."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from model.region import Region
from model.regions.region_features import RegionPlace
from model.span import Span
from model.spans.features.reading import ReadText, SpanReader
from model.spans.features.stretches import LONG_TEXT, Stretch, cut_stretches
from model.spans.words import Bounds, find_words, to_words

MOST_WORDS = 60_000
"""Words of the stretches that are read: those of the last regions."""


@dataclass(frozen=True)
class _Cut:
    """A long text in stretches. `ends`: of the words of each, among those of the text."""

    text: str
    bounds: Bounds
    stretches: Sequence[Stretch]
    ends: Sequence[int]

    @classmethod
    def of(cls, text: str) -> _Cut:
        bounds = find_words(text)
        stretches = cut_stretches(text, bounds)
        return cls(text, bounds, stretches, list(accumulate(one.last - one.first for one in stretches)))

    def number(self, region: Region) -> int | None:
        """Of the stretch that a region begins in; None where it touches no word."""
        mark = to_words(self.bounds, Span(region.start, region.end, region.label))
        return None if mark is None else bisect_right(self.ends, mark.first)

    def moved(self, region: Region, number: int) -> Region:
        """A region by the characters of its stretch."""
        stretch = self.stretches[number]
        first = self.ends[number] - (stretch.last - stretch.first) - stretch.first
        offset = self.bounds[first][0]
        end = min(region.end - offset, len(stretch.text))
        return Region(region.control, region.start - offset, end, region.label)


def read_regions(reader: SpanReader, regions: Sequence[tuple[str, Region]]) -> list[RegionPlace | None]:
    """Of each text and region in turn; None of one that touches no word, and of those in long texts that there is no
    room for: the last ones stay."""
    texts = list(dict.fromkeys(text for text, _ in regions))
    short = [text for text in texts if len(text) <= LONG_TEXT]
    read = dict(zip(short, reader.read(short), strict=True))
    cut = {text: _Cut.of(text) for text in texts if text not in read}
    numbers = [cut[text].number(region) if text in cut else None for text, region in regions]
    wanted, words = dict[tuple[str, int], Stretch](), 0
    for (text, _), number in zip(reversed(regions), reversed(numbers), strict=True):
        if number is not None and (text, number) not in wanted and words < MOST_WORDS:
            wanted[text, number] = cut[text].stretches[number]
            words += len(wanted[text, number].bounds)
    rows = dict(zip(wanted, reader.read_stretches(list(wanted.values())), strict=True))
    stretches = {
        key: ReadText(wanted[key].text, wanted[key].bounds, states, hidden, document=key[0])
        for key, (states, hidden) in rows.items()
    }
    found: list[RegionPlace | None] = []
    for (text, region), number in zip(regions, numbers, strict=True):
        if text in read:
            found.append(RegionPlace(read[text], region) if read[text].bounds else None)
        elif number is not None and (text, number) in stretches:
            found.append(RegionPlace(stretches[text, number], cut[text].moved(region, number)))
        else:
            found.append(None)
    return found
