"""Many strings at once: where they stand in a text, in time linear in its words, however many strings there are.

A string is the run of its words, each a number (the hash of how it is written, composed, and in lower case where case
does not count); a run's number is made of theirs. So all runs of a length are looked up at once, in sorted arrays: two
strings share a number once in 10^9 lists of 100,000.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import xxhash
from numpy.typing import NDArray

Codes = NDArray[np.uint64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class _Length:
    """The strings of so many words: their numbers, sorted, and the labels' places of number i from `ends[i]` to
    `ends[i + 1]`."""

    words: int
    codes: Codes
    ends: Places
    labels: Places


@dataclass(frozen=True)
class StringSet:
    """Strings in words, each with a label's place."""

    lengths: tuple[_Length, ...]
    ignore_case: bool

    @classmethod
    def build(cls, strings: Iterable[tuple[Sequence[str], int]], *, ignore_case: bool) -> StringSet:
        """Of (words, label's place) pairs."""
        by_length: dict[int, list[tuple[Sequence[str], int]]] = {}
        for words, label in strings:
            by_length.setdefault(len(words), []).append((words, label))
        return cls(tuple(_length(size, own, ignore_case) for size, own in sorted(by_length.items())), ignore_case)

    def find(self, words: Sequence[str]) -> Iterator[tuple[int, int, Places]]:
        """(Label's place, words of the strings, first words of the places where they stand), for each label and length
        of which there are some."""
        if not self.lengths or not words:
            return
        own = word_codes(words, ignore_case=self.ignore_case)
        runs, size = own, 1
        for length in self.lengths:
            if length.words > len(own):
                return
            while size < length.words:
                runs, size = _join(runs[:-1], own[size:]), size + 1
            places = np.minimum(np.searchsorted(length.codes, runs), len(length.codes) - 1)
            hits = np.flatnonzero(length.codes[places] == runs)
            if len(hits):
                yield from _by_label(length, hits, places[hits])


def _length(size: int, strings: Sequence[tuple[Sequence[str], int]], ignore_case: bool) -> _Length:
    own = word_codes([word for words, _ in strings for word in words], ignore_case=ignore_case).reshape(-1, size)
    runs = own[:, 0]
    for place in range(1, size):
        runs = _join(runs, own[:, place])
    labels = np.array([label for _, label in strings], np.int64)
    order = np.lexsort((labels, runs))
    codes, firsts = np.unique(runs[order], return_index=True)
    return _Length(size, codes, np.append(firsts, len(order)), labels[order])


def _by_label(length: _Length, hits: Places, found: Places) -> Iterator[tuple[int, int, Places]]:
    counts = length.ends[found + 1] - length.ends[found]
    starts = np.repeat(length.ends[found] - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
    labels = length.labels[starts + np.arange(len(starts))]
    firsts = np.repeat(hits, counts)
    for label in np.unique(labels):
        yield int(label), length.words, np.unique(firsts[labels == label])


def word_codes(words: Sequence[str], *, ignore_case: bool) -> Codes:
    """A number for each word as it is compared."""
    code = _any_case if ignore_case else _as_written
    return np.array([code(word) for word in words], np.uint64)


@lru_cache(maxsize=1 << 16)
def _as_written(word: str) -> int:
    return _hash(unicodedata.normalize("NFC", word))


@lru_cache(maxsize=1 << 16)
def _any_case(word: str) -> int:
    return _hash(unicodedata.normalize("NFC", unicodedata.normalize("NFC", word).casefold()))


def _hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def _join(runs: Codes, words: Codes) -> Codes:
    """The number of runs that go on with these words: order counts."""
    mixed = (runs ^ (runs >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return (mixed ^ (mixed >> np.uint64(32))) + words * np.uint64(0x9E3779B97F4A7C15)
