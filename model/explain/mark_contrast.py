"""Why a chain scores one reading of some words above another: the difference, dealt out to groups with names.

The score of a sequence of tags is a sum, so the difference of two is one, too: of what the words mean (the encoder's
states), what the label is called (the prior), what the words look like (hand features) and how tags follow each other.
Both readings are the best ones that hold the span, and that do not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from model.explain.feature_words import FREQUENCY, describe, group_of
from model.numerics.arrays import Floats
from model.spans.chain.best_tags import Tags, allow_all, allow_only, best_tags
from model.spans.chain.crf import Features
from model.spans.chain.tags import WordSpan
from model.spans.features.hand_features import NAMES, Codes, hand_table
from model.spans.features.pattern_features import matched_words
from model.spans.features.reading import ReadText
from model.spans.head.head import SpanHead
from model.spans.patterns.lexicon import Match

MEANING, CAPITALISED, LABEL_NAME, ORDER = "meaning", "meaning if capitalised", "label name", "order"
"""What the encoder makes of the words; on top of that where a word is capitalised; what the label is called; how tags
follow each other."""

PATTERNS = "patterns"
"""What the strings and expressions say that people brought."""

MOST_FEATURES = 12
"""Hand features that are named."""

AROUND = 20
"""Words before and behind that take part: what stands further off has the same tags in both readings."""


@dataclass(frozen=True)
class DecidingFeature:
    """A hand feature of a word of the text by its name and in words, and what it adds to the difference."""

    word: int
    name: str
    group: str
    what: str
    score: float


@dataclass(frozen=True)
class Contrast:
    """How much more one reading scores than another, by groups (largest first), and the hand features in it."""

    groups: Mapping[str, float]
    features: tuple[DecidingFeature, ...] = field(default=(), repr=False)

    @property
    def difference(self) -> float:
        """In all: the log of how many times as likely the one reading is."""
        return sum(self.groups.values())

    def moved(self, words: int) -> Contrast:
        """The same of a text before which so many words stand."""
        return replace(self, features=tuple(replace(one, word=one.word + words) for one in self.features))


@dataclass(frozen=True)
class ScoredText:
    """A text as one chain scores it."""

    head: SpanHead
    text: ReadText

    @cached_property
    def features(self) -> Features:
        """What the chain takes."""
        return self.head.space.features([self.text], self.head.prior, self.head.chain.tags)

    @cached_property
    def scores(self) -> Floats:
        """Log-scores of the tags of each word."""
        return self.head.chain.emissions(self.features)

    @cached_property
    def matches(self) -> Mapping[int, Sequence[tuple[Match, tuple[int, ...]]]]:
        """By word the matches that it is in, and what features follow."""
        found: dict[int, list[tuple[Match, tuple[int, ...]]]] = {}
        lexicon = self.head.space.lexicon
        for match, word, codes in matched_words(self.text, lexicon) if lexicon is not None else ():
            found.setdefault(word, []).append((match, codes))
        return found

    @cached_property
    def table(self) -> Codes:
        """Hand features of each word, by kind."""
        return hand_table([self.text])

    def contrast(self, span: WordSpan, rival: WordSpan | None) -> Contrast:
        """Of the best reading with `span` and the best with `rival` in its place; None: with nothing there."""
        touched = [span] if rival is None else [span, rival]
        low = max(0, min(one.first for one in touched) - AROUND)
        high = min(len(self.scores), max(one.last for one in touched) + 1 + AROUND)
        ours, theirs = self._best(low, high, span, span), self._best(low, high, rival, span)
        groups: defaultdict[str, float] = defaultdict(float)
        found: defaultdict[tuple[int, int], float] = defaultdict(float)
        listed: list[DecidingFeature] = []
        for place in np.flatnonzero(ours != theirs).tolist():
            self._add_word(groups, found, low + place, int(ours[place]), int(theirs[place]))
            listed += self._listed(low + place, int(ours[place]), int(theirs[place]))
        groups[PATTERNS] += sum(one.score for one in listed)
        groups[ORDER] += self._order(ours, low, high) - self._order(theirs, low, high)
        for (_, column), score in found.items():
            groups[group_of(NAMES[column])] += score
        ordered = sorted(groups.items(), key=lambda item: (-abs(item[1]), item[0]))
        return Contrast({name: float(score) for name, score in ordered if score}, self._heaviest(found, listed))

    def _listed(self, word: int, ours: int, theirs: int) -> list[DecidingFeature]:
        """What each match of a pattern says for the one tag and against the other."""
        space, tags, weights = self.head.space, self.head.chain.tags, self.head.chain.weights
        way = tags.mix[:, ours] - tags.mix[:, theirs]
        found = []
        for match, codes in self.matches.get(word, ()):
            own = np.flatnonzero(np.isin(space.known, np.array(codes, np.uint64)))
            score = float((weights.sparse[own] @ way).sum())
            if match.label in tags.labels:
                tag = 1 + 2 * tags.labels.index(match.label) + (word > match.first)
                score += space.trust.score(match.label) * ((tag == ours) - (tag == theirs))
            what = f"matches {match.regex} of {match.label}" if match.regex else f"in your patterns as {match.label}"
            found.append(DecidingFeature(word, "pattern", PATTERNS, what, score))
        return found

    def _heaviest(
        self, found: Mapping[tuple[int, int], float], listed: Sequence[DecidingFeature]
    ) -> tuple[DecidingFeature, ...]:
        named = [
            (word, column, score) for (word, column), score in found.items() if group_of(NAMES[column]) != FREQUENCY
        ]
        named.sort(key=lambda one: (-abs(one[2]), one[:2]))
        own = [self._describe(*one) for one in named[:MOST_FEATURES] if one[2]]
        if not listed:
            return tuple(own)
        every = sorted([*own, *listed], key=lambda one: (-abs(one.score), one.word))
        return tuple(one for one in every[:MOST_FEATURES] if one.score)

    def _describe(self, word: int, column: int, score: float) -> DecidingFeature:
        name = NAMES[column]
        return DecidingFeature(word, name, group_of(name), describe(name, self.text, word), score)

    def _best(self, low: int, high: int, held: WordSpan | None, span: WordSpan) -> Tags:
        tags = self.head.chain.tags
        allowed = allow_all(high - low, tags)
        if held is None:
            allowed[span.first - low : span.last + 1 - low, 1:] = False
        else:
            allow_only(allowed, tags, held._replace(first=held.first - low, last=held.last - low))
        ends = {"is_begin": low == 0, "is_end": high == len(self.scores)}
        return best_tags(self.scores[low:high], self.head.chain.potentials, tags, allowed, **ends)

    def _add_word(
        self, groups: dict[str, float], found: dict[tuple[int, int], float], word: int, ours: int, theirs: int
    ) -> None:
        """What a word's own features say for the one tag and against the other."""
        weights, tags, features = self.head.chain.weights, self.head.chain.tags, self.features
        way = tags.mix[:, ours] - tags.mix[:, theirs]
        dense = features.dense[word]
        groups[MEANING] += float(dense @ (weights.dense @ way))
        if self.text.text[self.text.bounds[word][0]].isupper():
            groups[CAPITALISED] += float(dense @ (weights.gated @ way))
        groups[FREQUENCY] += float(weights.bias[ours] - weights.bias[theirs])
        if features.offset is not None:
            said, trust = features.offset[word], 1 + weights.trust[tags.owners]
            groups[LABEL_NAME] += float(said[ours] * trust[ours] - said[theirs] * trust[theirs])
        known = self.head.space.known
        if len(known):
            codes = self.table[word]
            places = np.minimum(np.searchsorted(known, codes), len(known) - 1)
            hits = np.flatnonzero((known[places] == codes) & (codes > 0))
            for column, score in zip(hits.tolist(), (weights.sparse[places[hits]] @ way).tolist(), strict=True):
                found[word, column] += score

    def _order(self, path: Tags, low: int, high: int) -> float:
        """What the transitions of a sequence of tags score."""
        own = self.head.chain.potentials
        total = float(own.transitions[path[:-1], path[1:]].sum(dtype=np.float64))
        total += float(own.begin[path[0]]) if low == 0 else 0.0
        return total + (float(own.end[path[-1]]) if high == len(self.scores) else 0.0)
