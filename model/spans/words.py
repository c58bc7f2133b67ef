"""The smallest units that a span starts or ends at, and spans as runs of them.

Finer than the words of explanations (`model/explain/words.py`): annotators mark `Smith` in `Smith's` and `3` in `3.5`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from re import Match
from typing import Protocol

from model.span import Span
from model.spans.chain.tags import WordSpan
from model.texts import UNSPACED_SCRIPTS

Bounds = Sequence[tuple[int, int]]
"""Of each word of a text: first character and the one after the last, in code points."""

CLASSES = {
    "single": rf"[[{UNSPACED_SCRIPTS}]--[\p{{M}}\uff9e\uff9f]]",
    "word": rf"[[\p{{L}}\p{{M}}\p{{N}}]--[[{UNSPACED_SCRIPTS}]--\p{{M}}]]",
    "mark": r"\p{M}\u00ad\u200c\u200d\uff9e\uff9f\U0001f3fb-\U0001f3ff",
    "blank": r"\s",
}
"""Characters of scripts without spaces; other letters, marks and digits; what belongs to the character before it (signs
of vowels and tones, half-width ones of voice, joiners, soft hyphens, the colour of a skin); blanks. Each within [] of
`regex`, version 1."""

_PATTERN = (
    "[{single}][{mark}]*|[{word}][{word}{mark}]*"
    "|[^{blank}{single}{word}](?:[{mark}]|(?<=\u200d)[^{blank}{single}{word}])*"
)
"""A character of a script without spaces, a run of other letters, marks and digits, or any other visible character:
each with what belongs to it. Emoji that are joined are one."""


class _Pattern(Protocol):
    """Of `regex`, which has no types of its own, as far as it is used."""

    def finditer(self, text: str) -> Iterator[Match[str]]: ...


def find_words(text: str) -> list[tuple[int, int]]:
    """The words of a text, from left to right; none overlap."""
    return [match.span() for match in _words().finditer(text)]


@lru_cache(maxsize=1)
def _words() -> _Pattern:
    import regex  # knows Unicode's scripts and marks, which `re` does not

    pattern: _Pattern = regex.compile(write_pattern(CLASSES), regex.VERSION1)
    return pattern


def write_pattern(classes: Mapping[str, str]) -> str:
    """The expression of a word, with these for CLASSES."""
    return _PATTERN.format(**classes)


def to_words(bounds: Bounds, span: Span) -> WordSpan | None:
    """The words that a span touches; None when it touches none. A half word counts whole."""
    first = bisect_right(bounds, span.start, key=lambda own: own[1])
    last = bisect_left(bounds, span.end, key=lambda own: own[0]) - 1
    return WordSpan(first, last, span.label) if first <= last else None


def to_characters(bounds: Bounds, span: WordSpan) -> Span:
    """From the start of its first word to the end of its last."""
    return Span(bounds[span.first][0], bounds[span.last][1], span.label)


def word_spans(bounds: Bounds, spans: Iterable[Span]) -> list[WordSpan]:
    """All spans as words, in the order of the text; what touches no word is left out."""
    return sorted({found for span in spans if (found := to_words(bounds, span)) is not None})


def apart(spans: Iterable[WordSpan]) -> list[WordSpan]:
    """Spans that share no word, in the order of the text: where some overlap, the longest stays."""
    taken: set[int] = set()
    kept = []
    for span in sorted(spans, key=lambda span: (span.first - span.last, span.first, span.label)):
        own = set(range(span.first, span.last + 1))
        if not taken & own:
            taken |= own
            kept.append(span)
    return sorted(kept)
