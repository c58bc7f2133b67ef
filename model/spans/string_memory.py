"""The second occurrence is free: strings that somebody marked are suggested wherever they come again.

A source by itself: what it suggests is believed as often as it was right in this project, counted on texts that were
read before they were learned. What was left unmarked or removed counts against a string, and a removal bans it until it
is marked again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypedDict

from model.spans.chain.tags import WordSpan

Key = tuple[str, ...]
"""The words of a string, as they are written."""

LONGEST = 12
"""Words of a string that is remembered."""

TELLING, PLAIN = 0, 1
"""Two classes of strings: of several words or with a capital, and others, which mean less by themselves."""

SHOWN = 0.5
"""Score from which a string is suggested."""

EXPECTED, STRENGTH = 0.6, 10.0
"""Precision of a class before anything is known, and how many suggestions that is worth."""


class Memory(NamedTuple):
    """A place where a remembered string comes again."""

    span: WordSpan
    kind: int
    score: float


class MemoryJson(TypedDict):
    """As `to_json` writes it: each string is the list of its words."""

    marked: Sequence[tuple[Sequence[str], Mapping[str, int]]]
    unmarked: Sequence[tuple[Sequence[str], int]]
    removed: Sequence[tuple[Sequence[str], str, int]]
    right: Sequence[int]
    tried: Sequence[int]


@dataclass(frozen=True)
class StringMemory:
    """What was marked as what how often (`marked`), stood unmarked how often (`unmarked`), and was removed (`removed`).
    `right` and `tried`: how suggestions fared where the head had none, by class."""

    marked: Mapping[Key, Mapping[str, int]] = field(default_factory=dict)
    unmarked: Mapping[Key, int] = field(default_factory=dict)
    removed: Mapping[tuple[Key, str], int] = field(default_factory=dict)
    right: tuple[int, ...] = (0, 0)
    tried: tuple[int, ...] = (0, 0)

    @cached_property
    def labels(self) -> frozenset[str]:
        """All that anything was marked as."""
        return frozenset(label for counts in self.marked.values() for label in counts)

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Of the strings that were marked, in words, the longest first."""
        return tuple(sorted({len(key) for key in self.marked}, reverse=True))

    def find(self, words: Sequence[str], said: Mapping[WordSpan, float]) -> list[Memory]:
        """What it suggests for a text, from left to right, longer strings first; none overlap. `said`: how likely the
        head holds each span."""
        found: list[Memory] = []
        end = -1
        for first, last in occurrences(words, self.marked, self.lengths):
            memory = self._recall(words, first, last, said) if first > end else None
            if memory is not None:
                found.append(memory)
                end = last
        return found

    def counts(self, words: Sequence[str]) -> dict[str, int]:
        """As what a string was marked how often."""
        return dict(self.marked.get(tuple(words), {}))

    def is_removed(self, words: Sequence[str], label: str) -> bool:
        """Whether a suggestion of this was removed more often than it was marked."""
        key = tuple(words)
        return self.removed.get((key, label), 0) > 0 and not self._outweighs(key, label)

    def earned(self, kind: int) -> float:
        """How much better (above 1) or worse than expected the suggestions of a class have been."""
        return (self.right[kind] / EXPECTED + STRENGTH) / (self.tried[kind] + STRENGTH)

    def _recall(self, words: Sequence[str], first: int, last: int, said: Mapping[WordSpan, float]) -> Memory | None:
        key = tuple(words[first : last + 1])
        labels = self.marked[key]
        label = max(sorted(labels), key=lambda own: labels[own])
        others = sum(labels.values()) - labels[label]
        if self.unmarked.get(key, 0) + others >= labels[label] or self.is_removed(key, label):
            return None
        span, kind = WordSpan(first, last, label), kind_of(key)
        score = min(0.95, believe(kind, key, said.get(span, 0.0)) * self.earned(kind))
        return Memory(span, kind, score) if score >= SHOWN else None

    def _outweighs(self, key: Key, label: str) -> bool:
        return self.marked.get(key, {}).get(label, 0) > self.removed.get((key, label), 0)

    def to_json(self) -> MemoryJson:
        """As `from_json` reads it."""
        return {
            "marked": [(list(key), dict(labels)) for key, labels in self.marked.items()],
            "unmarked": [(list(key), count) for key, count in self.unmarked.items()],
            "removed": [(list(key), label, count) for (key, label), count in self.removed.items()],
            "right": list(self.right),
            "tried": list(self.tried),
        }

    @classmethod
    def from_json(cls, data: MemoryJson) -> StringMemory:
        """Raises KeyError on foreign data."""
        return cls(
            {tuple(key): dict(labels) for key, labels in data["marked"]},
            {tuple(key): int(count) for key, count in data["unmarked"]},
            {(tuple(key), label): int(count) for key, label, count in data["removed"]},
            tuple(data["right"]),
            tuple(data["tried"]),
        )


def kind_of(key: Key) -> int:
    """Whether a string tells something by itself."""
    return TELLING if len(key) > 1 or any(character.isupper() for character in key[0]) else PLAIN


def believe(kind: int, key: Key, said: float) -> float:
    """How often a string that was marked before is right where the head does not show it, by what the head says.

    Counted on four sets with 4 to 256 labelled texts: telling strings .5 where it says nothing, .95 where it nearly
    shows them; plain words .07, .3, .5, .7; numbers almost never."""
    if all(word.isdigit() for word in key):
        return said
    return 0.5 + said if kind == TELLING else min(0.75, 2 * said)


def occurrences(words: Sequence[str], keys: Container[Key], lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last word of each place where one of the strings stands, from left to right; `lengths`: in words."""
    for first in range(len(words)):
        for length in lengths:
            if first + length <= len(words) and tuple(words[first : first + length]) in keys:
                yield first, first + length - 1


class Said(NamedTuple):
    """What a head says of a text: the spans that it shows, and how likely it holds those and others."""

    shown: Collection[WordSpan] = ()
    likely: Mapping[WordSpan, float] = {}


@dataclass
class MemoryBuilder:
    """Reads labelled texts one after another: each is first predicted, then learned."""

    marked: dict[Key, Counter[str]] = field(default_factory=dict)
    unmarked: Counter[Key] = field(default_factory=Counter)
    removed: Counter[tuple[Key, str]] = field(default_factory=Counter)
    right: list[int] = field(default_factory=lambda: [0, 0])
    tried: list[int] = field(default_factory=lambda: [0, 0])
    _lengths: tuple[int, ...] = ()

    def learn(
        self,
        words: Sequence[str],
        spans: Iterable[WordSpan],
        removed: Iterable[WordSpan] = (),
        said: Said | None = None,
    ) -> None:
        """A text, what is marked in it, and suggestions that the annotator removed from it. `said`: what the head says
        without having seen the text; where it shows something the memory is not needed, and not judged."""
        marks = {(span.first, span.last): span.label for span in spans if span.last - span.first < LONGEST}
        if said is not None:
            self._judge(words, marks, said)
        covered = covered_words(spans)
        for first, last in occurrences(words, self.marked, self._lengths):
            if covered.isdisjoint(range(first, last + 1)):
                self.unmarked[tuple(words[first : last + 1])] += 1
        for (first, last), label in marks.items():
            self.marked.setdefault(tuple(words[first : last + 1]), Counter())[label] += 1
        fresh = {last - first + 1 for first, last in marks}
        self._lengths = tuple(sorted({*self._lengths, *fresh}, reverse=True))
        for span in removed:
            if marks.get((span.first, span.last)) != span.label:
                self.removed[tuple(words[span.first : span.last + 1]), span.label] += 1

    def _judge(self, words: Sequence[str], marks: Mapping[tuple[int, int], str], said: Said) -> None:
        covered = covered_words(said.shown)
        for memory in self.memory().find(words, said.likely):
            if covered.isdisjoint(range(memory.span.first, memory.span.last + 1)):
                self.tried[memory.kind] += 1
                self.right[memory.kind] += marks.get((memory.span.first, memory.span.last)) == memory.span.label

    def memory(self) -> StringMemory:
        """What is remembered by now: a view, not a copy."""
        return StringMemory(self.marked, self.unmarked, self.removed, tuple(self.right), tuple(self.tried))


def covered_words(spans: Iterable[WordSpan]) -> set[int]:
    """All words that belong to a span."""
    return {word for span in spans for word in range(span.first, span.last + 1)}


def matches(words: Sequence[str], span: WordSpan) -> list[WordSpan]:
    """All other places in a text where the words of a span stand."""
    key = tuple(words[span.first : span.last + 1])
    return [
        WordSpan(first, last, span.label)
        for first, last in occurrences(words, {key}, (len(key),))
        if (first, last) != (span.first, span.last)
    ]
