"""Regular expressions: RE2's, which never goes back, searched for in windows so that no text takes quadratic time.

A search that looks far ahead before it takes a short match would read the rest of a text once a match. So each search
sees WINDOW characters at most, which no match needs to be longer than; and one that still takes too long (an expression
with more states than memory for them) is given up for that text.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.spans.patterns.pattern import LONGEST_TEXT, Pattern

log = logging.getLogger(__name__)

WINDOW, STEP = 1_024, 512
"""Bytes that a search sees, and by which it goes on where nothing begins."""

MEMORY = 1 << 20
"""Bytes of an expression and its states."""

LARGEST = 10_000
"""Instructions of an expression: one class of Unicode is 1,000 (`\\p{L}`), two names in capitals 3,200."""

SECONDS, SECONDS_A_CHARACTER = 0.05, 5e-6
"""CPU time of one expression in one text, from which on it is given up: ten times what dense matches take."""

TRIAL = "Aaaa aaaa 1111 2,222.5 a-b ÉÉé 東京 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ababbabaabab\n" * 40
"""What a new expression is tried on."""


class _Match(Protocol):
    def span(self) -> tuple[int, int]: ...


class Expression(Protocol):
    """Of `re2`, which has no types of its own, as far as it is used."""

    programsize: int
    reverseprogramsize: int

    def search(self, text: bytes, pos: int = 0, endpos: int | None = None) -> _Match | None: ...


@dataclass(frozen=True)
class RegexSet:
    """Compiled expressions, each with its pattern."""

    expressions: tuple[tuple[Pattern, Expression], ...]

    @classmethod
    def build(cls, patterns: Sequence[Pattern]) -> RegexSet:
        """Raises PatternError for one that cannot be used."""
        return cls(tuple((pattern, compile_regex(pattern)) for pattern in patterns))

    def find(self, text: str) -> Iterator[tuple[Pattern, NDArray[np.int64]]]:
        """(Pattern, characters [n, 2] where its matches begin and end), for each that matches."""
        if not self.expressions:
            return
        data = text.encode("utf-8", "replace")
        starts = np.frombuffer(data, np.uint8) & 0xC0 != 0x80
        characters = np.concatenate([[0], np.cumsum(starts)])  # before each byte
        for pattern, expression in self.expressions:
            spans = _search(expression, data, pattern)
            if spans:
                yield pattern, characters[np.array(spans, np.int64)]


def compile_regex(pattern: Pattern) -> Expression:
    """Raises PatternError for one that RE2 does not take, that is too large, or that matches nothing at all."""
    import re2

    if len(pattern.text) > LONGEST_TEXT:
        raise pattern.bad(f"at most {LONGEST_TEXT:,} characters are allowed; split it into several")
    options = re2.Options()
    options.max_mem, options.log_errors, options.never_capture = MEMORY, False, True
    options.case_sensitive = not pattern.ignore_case
    try:
        found: Expression = re2.compile(pattern.text, options)
    except (re2.error, UnicodeEncodeError) as error:
        raise pattern.bad(_remedy(_said(error))) from error
    if not 0 < found.programsize <= LARGEST or not 0 < found.reverseprogramsize <= LARGEST:
        raise pattern.bad("too large: use smaller counts in {…}, or + in their place, and fewer classes like \\p{L}")
    if found.search(b"") is not None:
        raise pattern.bad("it matches where nothing stands; write + in place of * or add what must stand there")
    if _search(found, TRIAL.encode(), pattern) is None:
        raise pattern.bad("it takes too long; use smaller counts in {…} and fewer alternatives that begin alike")
    return found


def _search(expression: Expression, data: bytes, pattern: Pattern) -> list[tuple[int, int]] | None:
    """Bytes of each match from left to right; None where it was given up."""
    spans: list[tuple[int, int]] = []
    place, size = 0, len(data)
    until = time.thread_time() + SECONDS + SECONDS_A_CHARACTER * size
    while place < size:
        match = expression.search(data, place, min(size, place + WINDOW))
        start, end = match.span() if match is not None else (-1, -1)
        if match is None:
            place += STEP if place + WINDOW < size else WINDOW
        elif start - place >= STEP and place + WINDOW < size:
            place = start  # with a whole window before it, so that its end is where it would be in the whole text
        else:
            if end > start:
                spans.append((start, end))
            place = max(end, start + 1)
        if time.thread_time() > until:
            log.warning("pattern given up in a text of %s bytes, it takes too long: %s", size, pattern.text[:60])
            return None
    return spans


def _said(error: Exception) -> str:
    told = error.args[0] if error.args else ""
    return told.decode("utf-8", "replace") if isinstance(told, bytes) else str(error)


def _remedy(said: str) -> str:
    """What RE2 says, and what to write in its place."""
    if "perl operator" in said:
        return f"{said}; looking ahead or behind is not supported: write what stands there, or leave it out"
    if "escape" in said:
        return f"{said}; references back (\\1) are not supported, and a backslash is written \\\\"
    if "repetition size" in said:
        return f"{said}; at most 1,000 repetitions: use a smaller count, or +"
    if "too large" in said:
        return f"{said}; use smaller counts in {{…}}, and fewer classes like \\p{{L}}"
    if "class range" in said:
        return f"{said}; classes are those of RE2, such as \\p{{L}}, \\p{{Lu}}, \\p{{Greek}}, [[:alpha:]]"
    return f"{said}; the syntax is RE2's (https://github.com/google/re2/wiki/Syntax)"
