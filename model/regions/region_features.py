"""What a marked region looks like in its text: states of the words inside and around it, and its words as numbers.

Dense columns: the mean state inside, of the words just before and just after, and of the whole text (of a long one: of
what is around). Hand features are
64-bit hashes of a kind and what it says, as those of words are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from model.numerics.arrays import SparseRows
from model.numerics.float16 import widen
from model.region import Region
from model.span import Span
from model.spans.features.feature_space import StateScale
from model.spans.features.hand_features import Codes, HandFeatures, feature_matrix
from model.spans.features.reading import Halves, ReadText
from model.spans.features.stretches import LONG_TEXT
from model.spans.words import to_words

NEAR = 4
"""Words before and after a region that are looked at."""

AROUND = 100
"""Words on either side that stand for the whole text where it is a long one."""

BLOCKS = (1.0, 0.5, 0.5, 0.5)
"""How much the states inside, before, after and of the whole text weigh."""

HAND = 0.3
"""The value of a hand feature."""


@dataclass(frozen=True)
class RegionPlace:
    """A region in a text that was read."""

    text: ReadText
    region: Region

    @property
    def words(self) -> tuple[int, int]:
        """Its first word and the one after its last; the same where it touches none."""
        found = to_words(self.text.bounds, Span(self.region.start, self.region.end, self.region.label))
        return (0, 0) if found is None else (found.first, found.last + 1)

    @property
    def surroundings(self) -> tuple[int, int]:
        """The first of the words that stand for its text, and the one after the last: all, of a long text those
        AROUND."""
        if len(self.text.source) <= LONG_TEXT:
            return 0, len(self.text.bounds)
        first, stop = self.words
        return max(0, first - AROUND), stop + AROUND


def dense_features(places: Sequence[RegionPlace], scale: StateScale) -> NDArray[np.float32]:
    """[places, BLOCKS * width]."""
    width = len(scale.mean)
    found = np.zeros((len(places), len(BLOCKS), width), np.float32)
    means: dict[tuple[int, int, int], NDArray[np.float32]] = {}
    for row, place in enumerate(places):
        states, (first, stop), around = place.text.states, place.words, place.surroundings
        if (key := (id(place.text), *around)) not in means:
            means[key] = mean_on(scale, states[slice(*around)])
        near = (states[first:stop], states[max(0, first - NEAR) : first], states[stop : stop + NEAR])
        for block, (mean, weight) in enumerate(
            zip((*(mean_on(scale, own) for own in near), means[key]), BLOCKS, strict=True)
        ):
            found[row, block] = np.float32(weight) * mean
    return found.reshape(len(places), len(BLOCKS) * width)


def hand_features(places: Sequence[RegionPlace]) -> HandFeatures:
    """Of all places in turn."""
    rows = [[code_of(said) for said in dict.fromkeys(_said(place))] for place in places]
    codes = np.array([code for row in rows for code in row], np.uint64)
    return HandFeatures(codes, np.cumsum([len(row) for row in rows], dtype=np.int64))


def hand_matrix(features: HandFeatures, known: Codes) -> SparseRows:
    """Places by known features."""
    found = feature_matrix(features, known)
    found.data *= np.float32(HAND)
    return found


def mean_on(scale: StateScale, states: Halves) -> NDArray[np.float32]:
    """Of these words, on the scale; 0 of none."""
    if not len(states):
        return np.zeros(len(scale.mean), np.float32)
    mean: NDArray[np.float32] = widen(states).mean(0)
    return (mean - scale.mean) / (scale.spread * np.float32(np.sqrt(len(scale.mean))))


def _said(place: RegionPlace) -> Iterator[str]:
    (first, stop), text = place.words, place.text
    begin = max(0, first - NEAR)  # of a long text the words near the region alone: it may have a thousand
    words = [text.text[one:end].lower() for one, end in text.bounds[begin : stop + NEAR]]
    first, stop = first - begin, stop - begin
    label, inside = place.region.label, words[first:stop]
    string = " ".join(inside)
    yield f"label {label}"
    yield f"string {string}"
    yield f"string {label} {string}"
    yield f"long {min(stop - first, 4)}"
    for word in inside:
        yield f"word {word}"
        yield f"start {word[:3]}"
        yield f"end {word[-3:]}"
    if inside:
        yield f"first {inside[0]}"
        yield f"last {inside[-1]}"
    own = place.text.text[place.region.start : place.region.end]
    yield f"form {own.isupper()} {own.istitle()} {any(c.isdigit() for c in own)}"
    for distance in (1, 2):
        yield f"before {distance} {words[first - distance] if first >= distance else ''}"
        yield f"after {distance} {words[stop + distance - 1] if stop + distance <= len(words) else ''}"
    for word in words[max(0, first - NEAR) : first]:
        yield f"left {word}"
        yield f"near {word}"
    for word in words[stop : stop + NEAR]:
        yield f"right {word}"
        yield f"near {word}"


def code_of(text: str) -> int:
    """The hand feature that says this."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) | 1
