"""Pairs of regions of one text: which ones may be related, and what a pair looks like.

A pair is in the order of the text. Dense columns: the mean states of both and of what is between. Hand features: labels
and words of both, words between and around, how far apart they are, and which of the two is the other's nearest.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from model.region import Region
from model.regions.region_features import code_of, mean_on
from model.span import Span
from model.spans.features.feature_space import StateScale
from model.spans.features.hand_features import HandFeatures
from model.spans.features.reading import ReadText
from model.spans.words import to_words

FARTHEST = 60
"""Words between the regions of a pair, at most."""

NEIGHBOURS = 12
"""Regions after each that it is paired with, at most."""

BETWEEN = 12
"""Words between that are features; of more the first and the last half."""

BLOCKS = (0.5, 0.5, 1.0)
"""How much the states of the first, of the second and between weigh."""

_ENDS = frozenset(".!?。！？")


@dataclass(frozen=True)
class Ends:
    """The regions of a text in its order, and the words of each: first, and the one after the last."""

    text: ReadText
    regions: tuple[Region, ...]
    words: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, text: ReadText, regions: Sequence[Region]) -> Ends:
        """Those that touch a word."""
        found = []
        for region in sorted(set(regions), key=lambda one: (one.start, one.end, one.control, one.label)):
            mark = to_words(text.bounds, Span(region.start, region.end, region.label))
            if mark is not None:
                found.append((region, (mark.first, mark.last + 1)))
        return cls(text, tuple(region for region, _ in found), tuple(place for _, place in found))

    @cached_property
    def _longest(self) -> int:
        return max((stop - first for first, stop in self.words), default=0)

    def within(self, first: int, stop: int) -> range:
        """The numbers of regions, all of those among them that touch these words."""
        low = bisect_left(self.words, first - self._longest, key=_first)
        return range(low, bisect_left(self.words, stop, lo=low, key=_first))

    def pairs(self) -> list[tuple[int, int]]:
        """Which may be related: near enough."""
        return [
            (one, other)
            for one in range(len(self.regions))
            for other in range(one + 1, min(len(self.regions), one + 1 + NEIGHBOURS))
            if self.words[other][0] - self.words[one][1] <= FARTHEST
        ]


def _first(words: tuple[int, int]) -> int:
    return words[0]


@dataclass(frozen=True)
class Pair:
    """Two regions by their numbers among the ends, in the order of the text."""

    ends: Ends
    first: int
    second: int


def dense_pairs(pairs: Sequence[Pair], scale: StateScale) -> NDArray[np.float32]:
    """[pairs, BLOCKS * width]."""
    width = len(scale.mean)
    found = np.zeros((len(pairs), len(BLOCKS), width), np.float32)
    for row, pair in enumerate(pairs):
        states = pair.ends.text.states
        one, other = pair.ends.words[pair.first], pair.ends.words[pair.second]
        parts = (states[slice(*one)], states[slice(*other)], states[one[1] : max(one[1], other[0])])
        for block, (part, weight) in enumerate(zip(parts, BLOCKS, strict=True)):
            found[row, block] = np.float32(weight) * mean_on(scale, part)
    return found.reshape(len(pairs), len(BLOCKS) * width)


def hand_pairs(pairs: Sequence[Pair]) -> HandFeatures:
    """Of all pairs in turn."""
    words: dict[int, list[str]] = {}
    rows = []
    for pair in pairs:
        text = pair.ends.text
        if id(text) not in words:
            words[id(text)] = [word.lower() for word in text.words]
        rows.append([code_of(said) for said in dict.fromkeys(_said(pair, words[id(text)]))])
    codes = np.array([code for row in rows for code in row], np.uint64)
    return HandFeatures(codes, np.cumsum([len(row) for row in rows], dtype=np.int64))


def _said(pair: Pair, words: Sequence[str]) -> Iterator[str]:
    ends = pair.ends
    one, other = ends.regions[pair.first], ends.regions[pair.second]
    (start, stop), (begin, end) = ends.words[pair.first], ends.words[pair.second]
    labels = f"{one.control}={one.label} {other.control}={other.label}"
    between = words[stop : max(stop, begin)]
    far = min(8, (len(between) + 1).bit_length())
    inside = [ends.regions[at].label for at in range(pair.first + 1, pair.second)]
    apart = sum(word in _ENDS for word in between)
    yield f"labels {labels}"
    yield f"far {far}"
    yield f"far {labels} {far}"
    yield f"sentences {labels} {min(apart, 2)}"
    yield f"regions {labels} {min(len(inside), 3)}"
    yield f"next {labels} {other.label not in inside} {one.label not in inside}"
    yield f"nearest {labels} {_nearest(ends, pair)}"
    for label in set(inside):
        yield f"passes {labels} {label}"
    near = between if len(between) <= BETWEEN else [*between[: BETWEEN // 2], *between[-BETWEEN // 2 :]]
    for word in near:
        yield f"between {word}"
        yield f"between {labels} {word}"
    for left, right in pairwise(near):
        yield f"between {left} {right}"
    if len(between) <= 5:
        yield f"whole {' '.join(between)}"
        yield f"whole {labels} {' '.join(between)}"
    yield f"before {words[start - 1] if start else ''}"
    yield f"after {words[end] if end < len(words) else ''}"
    yield f"first {' '.join(words[start:stop])}"
    yield f"second {' '.join(words[begin:end])}"


def _nearest(ends: Ends, pair: Pair) -> str:
    """Whether each is the nearest of its label to the other."""
    distance = ends.words[pair.second][0] - ends.words[pair.first][1]

    def is_nearest(of: int, to: int) -> bool:
        label, (start, stop) = ends.regions[of].label, ends.words[to]
        near = (at for at in ends.within(start - distance, stop + distance) if at not in (of, to))
        rivals = (ends.words[at] for at in near if ends.regions[at].label == label)
        return all(max(begin - stop, start - end) >= distance for begin, end in rivals)

    return f"{is_nearest(pair.first, pair.second)} {is_nearest(pair.second, pair.first)}"
