"""The patterns of one control: immutable, named by the digest of what they are, and where they match in a text."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from model.spans.patterns.pattern import LONGEST_TEXT, LONGEST_WORDS, Pattern, PatternError
from model.spans.patterns.regex_set import RegexSet
from model.spans.patterns.string_set import StringSet
from model.spans.words import Bounds, find_words

FORMAT = 1

MOST_PATTERNS, MOST_REGEXES, MOST_BYTES = 200_000, 500, 8 << 20
"""Of one control: a version keeps them all, and every text is looked through by every expression."""

KEPT_LEXICONS = 4
"""That a process keeps ready: building the sets of 100,000 strings takes a second, and versions mostly share one."""

KEPT_TEXTS, KEPT_CHARACTERS = 4_096, 4_000_000
"""Texts, and their characters, whose matches a lexicon remembers: refits and pages see the same texts again."""


class Match(NamedTuple):
    """Words `first` to `last` of a text are what a pattern of a label says. `regex`: the expression; "" of a string."""

    first: int
    last: int
    label: str
    regex: str = ""


class LexiconJson(TypedDict):
    """Label -> what marks it, sorted; strings and expressions, with and without regard to case."""

    format: int
    strings: Mapping[str, Sequence[str]]
    strings_any_case: Mapping[str, Sequence[str]]
    regexes: Mapping[str, Sequence[str]]
    regexes_any_case: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Lexicon:
    """Made by `build_lexicon` and `read_lexicon`. `text`: its canonical JSON; the digest names that."""

    text: str = field(repr=False)
    patterns: tuple[Pattern, ...] = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """Of what it says, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:32]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """That it has patterns of, sorted."""
        return tuple(sorted({pattern.label for pattern in self.patterns}))

    def counts(self) -> dict[str, int]:
        """Patterns of each label."""
        found: dict[str, int] = dict.fromkeys(self.labels, 0)
        for pattern in self.patterns:
            found[pattern.label] += 1
        return found

    def packed(self) -> NDArray[np.uint8]:
        """All of it in an array, as `unpack_lexicon` reads it."""
        return np.frombuffer(self._packed, np.uint8)

    @cached_property
    def _packed(self) -> bytes:
        return zlib.compress(self.text.encode(), 1)

    def find(self, text: str, bounds: Bounds) -> list[Match]:
        """The matches in a text with these words, in order. Of those of one label the longest win, then the first;
        those of different labels may overlap."""
        return self._matcher.find(text, bounds)

    @cached_property
    def _matcher(self) -> _Matcher:
        return _Matcher(self.patterns, self.labels)


Runs = dict[int, dict[int, list[tuple[NDArray[np.int64], str]]]]
"""Label's place -> number of words -> (first words, expression)."""


class _Matcher:
    """The sets of a lexicon, and the matches of texts seen lately. Thread-safe: what is lost is found again."""

    def __init__(self, patterns: Sequence[Pattern], labels: tuple[str, ...]) -> None:
        self.labels, self._places = labels, {label: place for place, label in enumerate(labels)}
        self._sets = [self._strings(patterns, ignore_case) for ignore_case in (False, True)]
        self._regexes = RegexSet.build([pattern for pattern in patterns if pattern.is_regex])
        self._known: dict[tuple[str, int], list[Match]] = {}
        self._characters = 0

    def _strings(self, patterns: Sequence[Pattern], ignore_case: bool) -> StringSet:
        own = [one for one in patterns if not one.is_regex and one.ignore_case == ignore_case]
        words = (([one.text[start:end] for start, end in find_words(one.text)], self._places[one.label]) for one in own)
        return StringSet.build(words, ignore_case=ignore_case)

    def find(self, text: str, bounds: Bounds) -> list[Match]:
        key = text, len(bounds)  # of a long text more or less may have been read than the last time
        known = self._known.get(key)
        if known is None:
            known = self._search(text, bounds)
            if self._characters > KEPT_CHARACTERS or len(self._known) >= KEPT_TEXTS:
                self._known, self._characters = {}, 0
            self._known[key] = known
            self._characters += len(text)
        return known

    def _search(self, text: str, bounds: Bounds) -> list[Match]:
        runs: Runs = {}
        words = [text[start:end] for start, end in bounds]
        for strings in self._sets:
            for label, size, firsts in strings.find(words):
                runs.setdefault(label, {}).setdefault(size, []).append((firsts, ""))
        starts = np.array([start for start, _ in bounds], np.int64)
        ends = np.array([end for _, end in bounds], np.int64)
        for pattern, spans in self._regexes.find(text):
            self._add_spans(runs, pattern, spans, starts, ends)
        found = [match for label, own in runs.items() for match in _longest(self.labels[label], own, len(words))]
        return sorted(found)

    def _add_spans(
        self,
        runs: Runs,
        pattern: Pattern,
        spans: NDArray[np.int64],
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
    ) -> None:
        """Those that begin and end where words do; blanks around them do not count."""
        if not len(starts):
            return
        first = np.searchsorted(ends, spans[:, 0], side="right")  # the first word that ends behind the start
        last = np.searchsorted(starts, spans[:, 1], side="left") - 1
        size = last - first + 1
        near, far = np.minimum(first, len(starts) - 1), np.maximum(last, 0)
        whole = (size > 0) & (size <= LONGEST_WORDS) & (starts[near] >= spans[:, 0]) & (ends[far] <= spans[:, 1])
        own = runs.setdefault(self._places[pattern.label], {})
        for count in np.unique(size[whole]):
            own.setdefault(int(count), []).append((first[whole & (size == count)], pattern.text))


def _longest(label: str, runs: Mapping[int, Sequence[tuple[NDArray[np.int64], str]]], words: int) -> list[Match]:
    """The matches of a label that share no word: the longest first, then from left to right."""
    taken = np.zeros(words, np.int64)
    found = []
    for size in sorted(runs, reverse=True):
        before = np.concatenate([[0], np.cumsum(taken)])
        sources: dict[int, str] = {}
        for firsts, regex in runs[size]:
            for first in firsts[before[firsts + size] == before[firsts]].tolist():
                sources.setdefault(first, regex)
        end = -1
        for first in sorted(sources):
            if first > end:
                end = first + size - 1
                taken[first : end + 1] = 1
                found.append(Match(first, end, label, sources[first]))
    return found


def build_lexicon(patterns: Iterable[Pattern]) -> Lexicon:
    """Of these patterns, each once. Raises PatternError for one that cannot be used, or too many."""
    unique = {pattern: pattern for pattern in reversed(list(patterns))}  # the first of equal ones names the line
    own = sorted(unique.values())
    _check_size(own)
    for pattern in own:
        _check_characters(pattern)
        if not pattern.is_regex:
            _check_string(pattern)
    RegexSet.build([pattern for pattern in own if pattern.is_regex])
    text = json.dumps(_to_json(own), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    size = len(text.encode())
    if size > MOST_BYTES:
        raise PatternError(f"the patterns take {size:,} bytes, at most {MOST_BYTES:,} are allowed: shorten the list")
    return Lexicon(text, tuple(own))


def _check_size(patterns: Sequence[Pattern]) -> None:
    regexes = [pattern for pattern in patterns if pattern.is_regex]
    for own, most, what in ((patterns, MOST_PATTERNS, "patterns"), (regexes, MOST_REGEXES, "regular expressions")):
        if len(own) > most:
            raise PatternError(f"{len(own):,} {what}, at most {most:,} are allowed: shorten the list", field=what)


def _check_characters(pattern: Pattern) -> None:
    try:
        f"{pattern.label}{pattern.text}".encode()
    except UnicodeEncodeError:
        raise pattern.bad("it holds half a character (a lone surrogate): write it anew") from None


def _check_string(pattern: Pattern) -> None:
    if len(pattern.text) > LONGEST_TEXT:
        raise pattern.bad(f"at most {LONGEST_TEXT:,} characters are allowed: shorten it")
    words = len(find_words(pattern.text))
    if not words:
        raise pattern.bad("it has no visible character: remove the line")
    if words > LONGEST_WORDS:
        raise pattern.bad(f"it has {words} words, at most {LONGEST_WORDS} are looked for: shorten it")


def _to_json(patterns: Sequence[Pattern]) -> LexiconJson:
    def of(is_regex: bool, ignore_case: bool) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for pattern in patterns:
            if (pattern.is_regex, pattern.ignore_case) == (is_regex, ignore_case):
                found.setdefault(pattern.label, []).append(pattern.text)
        return found

    return {
        "format": FORMAT,
        "strings": of(False, False),
        "strings_any_case": of(False, True),
        "regexes": of(True, False),
        "regexes_any_case": of(True, True),
    }


@lru_cache(maxsize=KEPT_LEXICONS)
def read_lexicon(text: str) -> Lexicon:
    """From its canonical JSON. Raises ValueError, KeyError or TypeError for what is none."""
    data: LexiconJson = json.loads(text)
    if data["format"] != FORMAT:
        raise ValueError(f"patterns of format {data['format']} are not known here")
    parts = (
        (data["strings"], False, False),
        (data["strings_any_case"], False, True),
        (data["regexes"], True, False),
        (data["regexes_any_case"], True, True),
    )
    patterns: list[Pattern] = []
    for own, is_regex, ignore_case in parts:
        if not isinstance(own, dict):
            raise TypeError("patterns are kept by label")
        patterns += [
            Pattern(str(label), str(one), is_regex, ignore_case) for label, texts in own.items() for one in texts
        ]
    return Lexicon(text, tuple(sorted(patterns)))


def unpack_lexicon(array: NDArray[np.generic]) -> Lexicon:
    """From `packed()`. Raises ValueError, KeyError or TypeError for what is none."""
    try:
        packer = zlib.decompressobj()
        data = packer.decompress(array.astype(np.uint8, copy=False).tobytes(), 2 * MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"patterns that cannot be read: {error}") from error
    return read_lexicon(data.decode())


def digest_of(lexicon: Lexicon | None) -> str:
    """Of what it says; "" without one."""
    return "" if lexicon is None else lexicon.digest
