"""What a word looks like: hand features, as numbers.

A feature is a 64-bit number, the hash of its kind and of what it says, so that nobody keeps a vocabulary of strings:
heads keep sorted numbers, and two features share one once in 10^8 heads of 100,000. What a word says by itself is
computed once a word; the rest are products of whole arrays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import xxhash
from numpy.typing import NDArray

from model.numerics.arrays import SparseRows
from model.spans.features.reading import ReadText

Codes = NDArray[np.uint64]

LOWER, SHAPE, LONG_SHAPE, END, AFFIXES = 0, 1, 2, 3, slice(4, 12)
"""Columns of what a word says by itself: in lower case, its shape in short, its first eight characters' shape, its last
three letters, then prefixes and suffixes of one to four letters (0 where the word is no longer)."""

_NEAR = ("word", "shape", "end", "words", "shapes", "edge")
_FURTHER = ("word", "shape", "edge")
NAMES = (
    *("any", "word", "shape", "long shape", "glued", *(f"affix {place}" for place in range(8))),
    *(f"{kind} {distance}" for distance in (-2, -1, 1, 2) for kind in (_NEAR if abs(distance) == 1 else _FURTHER)),
    "shapes",
)
"""What each column of `hand_table` is about: the word, its affixes (prefixes, then suffixes, of one to four letters),
or that many words away; `shapes` alone: its own with that of both neighbours."""

CAPITALS = 0.6
"""Share of words in capitals from which a text is written so, and capitals say nothing."""

_RUN = re.compile(r"(.)\1+", re.DOTALL)


@dataclass(frozen=True)
class HandFeatures:
    """Features of the words of some texts: sorted by nothing, word after word. `ends[i]` is where word i's end."""

    codes: Codes
    ends: NDArray[np.int64]


def hand_features(texts: Sequence[ReadText]) -> HandFeatures:
    """Of all words of the texts in turn; none sees a neighbour in another text."""
    table = hand_table(texts)
    return HandFeatures(table[table > 0], np.cumsum((table > 0).sum(1)))


def hand_table(texts: Sequence[ReadText]) -> Codes:
    """The same by kind [words, NAMES]; 0 where a word has no such feature."""
    own = np.array([_word_codes(word) for text in texts for word in text.words], np.uint64).reshape(-1, 12)
    lengths = np.array([len(text.bounds) for text in texts], np.int64)
    columns = [*_of_word(own, texts, lengths)]
    place = np.concatenate([np.arange(length) for length in lengths]) if len(lengths) else np.zeros(0, np.int64)
    left_room, right_room = place, np.repeat(lengths, lengths) - 1 - place
    for distance in (-2, -1, 1, 2):
        there = (left_room if distance < 0 else right_room) >= abs(distance)
        columns += _of_neighbour(own, np.roll(own, -distance, axis=0), there, distance)
    before = np.where(left_room >= 1, np.roll(own[:, SHAPE], 1), 0)
    after = np.where(right_room >= 1, np.roll(own[:, SHAPE], -1), 0)
    columns.append(_say("shapes", _join(_join(before, own[:, SHAPE]), after)))
    return np.stack(columns, axis=1) if len(own) else np.zeros((0, len(columns)), np.uint64)


def _of_word(own: Codes, texts: Sequence[ReadText], lengths: NDArray[np.int64]) -> list[Codes]:
    capitals = np.repeat([np.uint64(_in_capitals(text.words)) for text in texts], lengths)
    glued = np.array([code for text in texts for code in _glued(text)], np.uint64)
    columns = [
        _say("any", np.ones(len(own), np.uint64)),
        _say("word", own[:, LOWER]),
        _say("shape", own[:, SHAPE]),
        _say("long shape", own[:, LONG_SHAPE] + capitals),
        _say("glued", glued + np.uint64(1)),
    ]
    affixes = own[:, AFFIXES]
    return columns + [np.where(affixes[:, i] > 0, _say(f"affix {i}", affixes[:, i]), 0) for i in range(8)]


def _of_neighbour(own: Codes, other: Codes, there: NDArray[np.bool_], distance: int) -> list[Codes]:
    said = [_say(f"word {distance}", other[:, LOWER]), _say(f"shape {distance}", other[:, SHAPE])]
    if abs(distance) == 1:
        said.append(_say(f"end {distance}", other[:, END]))
        said.append(_say(f"words {distance}", _join(own[:, LOWER], other[:, LOWER])))
        said.append(_say(f"shapes {distance}", _join(own[:, SHAPE], other[:, SHAPE])))
    edge = _say(f"edge {distance}", np.ones(len(own), np.uint64))
    return [*(np.where(there, codes, 0) for codes in said), np.where(there, 0, edge)]


@lru_cache(maxsize=1 << 16)
def _word_codes(word: str) -> tuple[int, ...]:
    lower = word.lower()
    shape = word_shape(word)
    prefixes = [_hash(lower[:size]) if len(lower) > size else 0 for size in range(1, 5)]
    suffixes = [_hash(lower[-size:]) if len(lower) > size else 0 for size in range(1, 5)]
    return (
        _hash(lower),
        _hash(short_shape(word)),
        _hash(shape[:8]),
        _hash(lower[-3:]),
        *prefixes,
        *suffixes,
    )


def word_shape(word: str) -> str:
    """A sort for each character: X a capital, x a small letter, d a digit, z another letter, others as they are."""
    return "".join(_shape_of(character) for character in word)


def short_shape(word: str) -> str:
    """The same with every run in short: `Xx+` for `Paris`."""
    return _RUN.sub(r"\1+", word_shape(word))


def _shape_of(character: str) -> str:
    if character.isupper():
        return "X"
    if character.islower():
        return "x"
    if character.isdigit():
        return "d"
    return "z" if character.isalpha() else character


def _in_capitals(words: Sequence[str]) -> bool:
    letters = [word for word in words if word.isalpha()]
    return sum(word.isupper() for word in letters) > CAPITALS * max(1, len(letters))


def _glued(text: ReadText) -> list[int]:
    """Whether each word touches the one before (2) and the one behind (1)."""
    touches = [left[1] == right[0] for left, right in zip(text.bounds, text.bounds[1:], strict=False)]
    return [2 * before + after for before, after in zip([False, *touches], [*touches, False], strict=True)][
        : len(text.bounds)
    ]


def _hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) | 1  # never 0, which is none


def _mix(codes: Codes) -> Codes:
    """Scrambles bits, one to one (splitmix64's finaliser)."""
    codes = (codes ^ (codes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    codes = (codes ^ (codes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return codes ^ (codes >> np.uint64(31))


def _join(left: Codes, right: Codes) -> Codes:
    return _mix(left * np.uint64(3)) ^ _mix(right + np.uint64(0x9E3779B97F4A7C15))


def _say(kind: str, codes: Codes) -> Codes:
    """The feature that says this of that kind; never 0."""
    return np.maximum(_mix(codes + np.uint64(_hash(kind))), np.uint64(1))


def choose_features(features: HandFeatures, least: int) -> Codes:
    """Sorted: the features that occur so often at least."""
    codes, counts = np.unique(features.codes, return_counts=True)
    return codes[counts >= least]


def feature_matrix(features: HandFeatures, known: Codes) -> SparseRows:
    """Words by known features, a sparse matrix of ones (CSR, float32)."""
    from scipy.sparse import csr_matrix

    if not len(known):
        return csr_matrix((len(features.ends), 0), dtype=np.float32)
    places = np.minimum(np.searchsorted(known, features.codes), len(known) - 1)
    hits = known[places] == features.codes
    ends = np.concatenate([[0], np.cumsum(hits)])[np.concatenate([[0], features.ends])]
    columns = places[hits].astype(np.int32)
    ones = np.ones(len(columns), np.float32)
    return csr_matrix((ones, columns, ends), shape=(len(features.ends), len(known)))
