"""The words of a text as the encoder's own tokenizer has them, cut where a span begins or ends."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from backend.dataset.row import SpanJson

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Place = tuple[int, int]
"""First character of a word, and the one behind it."""

FindWords = Callable[[str], list[Place]]

_SEEN = re.compile(r"\S+")


def find_words_by(tokenizer: Tokenizer) -> FindWords:
    """Words as the tokenizer splits them before it looks for pieces: signs are words of their own, and what is written
    without blanks is split as the encoder reads it."""

    def find(text: str) -> list[Place]:
        encoding = tokenizer.encode(text, add_special_tokens=False)
        words: dict[object, Place] = {}
        for index, (word, (start, end)) in enumerate(zip(encoding.word_ids, encoding.offsets, strict=True)):
            name: object = ("piece", index) if word is None else word
            first, last = words.get(name, (start, end))
            words[name] = (min(first, start), max(last, end))
        return _without_overlap(place for place in words.values() if place[0] < place[1])

    return find


def _without_overlap(places: Iterable[Place]) -> list[Place]:
    """In order, each character in one word."""
    found: list[Place] = []
    for start, end in sorted(places):
        start = max(start, found[-1][1] if found else 0)
        if start < end:
            found.append((start, end))
    return found


def cut_words(text: str, words: Iterable[Place], spans: Iterable[SpanJson]) -> list[Place]:
    """The words, cut at the borders of spans and at blanks within: every span consists of whole ones. Characters of a
    span that the tokenizer drops (signs that it does not know, say) are words as well."""
    borders = sorted({border for span in spans for border in (span["start"], span["end"])})
    inside = [(span["start"], span["end"]) for span in spans]
    found: list[Place] = []
    for start, end in _with_gaps(text, words, inside):
        cuts = [start, *(border for border in borders if start < border < end), end]
        for first, last in pairwise(cuts):
            found += [(first + seen.start(), first + seen.end()) for seen in _SEEN.finditer(text[first:last])]
    return found


def _with_gaps(text: str, words: Iterable[Place], inside: list[Place]) -> list[Place]:
    """The words, and between them what spans cover besides."""
    found: list[Place] = []
    at = 0
    for start, end in [*words, (len(text), len(text))]:
        found += [
            (max(at, first), min(start, last)) for first, last in _merged(inside) if max(at, first) < min(start, last)
        ]
        if start < end:
            found.append((start, end))
        at = max(at, end)
    return sorted(found)


def _merged(places: list[Place]) -> list[Place]:
    found: list[Place] = []
    for start, end in sorted(places):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def longest_apart(spans: Iterable[SpanJson]) -> list[SpanJson]:
    """Spans that do not overlap, the longest of those that do; in their order."""
    kept: list[SpanJson] = []
    for span in sorted(spans, key=lambda one: (one["start"] - one["end"], one["start"], one["label"])):
        if all(span["end"] <= one["start"] or one["end"] <= span["start"] for one in kept):
            kept.append(span)
    return sorted(kept, key=lambda one: one["start"])


def load_tokenizer(directory: Path) -> Tokenizer:
    """The one that the encoder in `directory` reads with. Raises EncoderError."""
    from model.encoder.windows import read_tokenizer

    found: Tokenizer = read_tokenizer(directory)
    found.no_truncation()
    found.no_padding()
    return found
