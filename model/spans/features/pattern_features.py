"""What patterns say of words: features with a learned weight, and a score to start with that depends on how often they
were right.

A match is no truth: the score that it starts with is the log-odds of its label's share of right matches in the labelled
texts (with an expectation before there are any) against those of any word. What the chain learns is what to add."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple, TypedDict

import numpy as np
import xxhash
from numpy.typing import NDArray

from model.spans.chain.tags import TagSet, WordSpan
from model.spans.features.hand_features import HandFeatures, hand_features
from model.spans.features.reading import ReadText
from model.spans.patterns.lexicon import Lexicon, Match

EXPECTED, STRENGTH = 0.6, 4.0
"""Share of right matches before any text is labelled, and how many matches that is worth."""

USUAL, WORTH = 0.05, 0.7
"""Share of right matches at which a match tells nothing, and how much of the log-odds counts: chain and prior see what
the pattern sees, too."""


class Hits(NamedTuple):
    """Matches of a label in labelled texts, and those of them that are exactly what was marked."""

    right: float = 0.0
    tried: float = 0.0


class TrustJson(TypedDict):
    """PatternTrust in JSON; of hits label -> right, tried."""

    hits: Mapping[str, Sequence[float]]
    worth: float


@dataclass(frozen=True)
class PatternTrust:
    """How the patterns of each label fared in the texts of a fit, and how much their log-odds are worth."""

    hits: Mapping[str, Hits] = field(default_factory=dict)
    worth: float = WORTH

    @classmethod
    def measure(
        cls,
        texts: Sequence[ReadText],
        drawn: Sequence[Collection[WordSpan]],
        weights: Sequence[float],
        lexicon: Lexicon,
    ) -> PatternTrust:
        """On texts with what was marked in them, and how much each counts."""
        right, tried = dict[str, float](), dict[str, float]()
        for text, spans, weight in zip(texts, drawn, weights, strict=True):
            marked = set(spans)
            for match in lexicon.find(text.text, text.bounds):
                is_right = WordSpan(match.first, match.last, match.label) in marked
                tried[match.label] = tried.get(match.label, 0.0) + weight
                right[match.label] = right.get(match.label, 0.0) + weight * is_right
        return cls({label: Hits(right[label], count) for label, count in sorted(tried.items())}, WORTH)

    def share(self, label: str) -> float:
        """Of its matches, that are expected to be right: as its own were, and those of all labels where it has few."""
        right, tried = self.hits.get(label, Hits())
        return (right + self._expected * STRENGTH) / (tried + STRENGTH)

    @cached_property
    def _expected(self) -> float:
        right, tried = (sum(own) for own in zip(*self.hits.values(), strict=True)) if self.hits else (0.0, 0.0)
        return (right + EXPECTED * STRENGTH) / (tried + STRENGTH)

    def score(self, label: str) -> float:
        """Log-score that a match of this label starts with; 0 where it is right no oftener than any word."""
        return max(0.0, self.worth * (_log_odds(self.share(label)) - _log_odds(USUAL)))

    def to_json(self) -> TrustJson:
        """By name."""
        return {"hits": {label: list(hits) for label, hits in self.hits.items()}, "worth": self.worth}

    @classmethod
    def from_json(cls, data: TrustJson) -> PatternTrust:
        """Raises KeyError, TypeError or ValueError for foreign data."""
        hits = {label: Hits(float(right), float(tried)) for label, (right, tried) in data["hits"].items()}
        return cls(hits, float(data["worth"]))


def _log_odds(share: float) -> float:
    return float(np.log(share) - np.log1p(-share))


def starting_scores(
    texts: Sequence[ReadText], lexicon: Lexicon, trust: PatternTrust, tags: TagSet
) -> NDArray[np.float32]:
    """Log-scores [words, K] of the tags that matches say."""
    scores = np.zeros((sum(len(text.bounds) for text in texts), tags.size), np.float32)
    places = {label: place for place, label in enumerate(tags.labels)}
    before = 0
    for text in texts:
        for match in lexicon.find(text.text, text.bounds):
            place = places.get(match.label)
            if place is not None:
                own = trust.score(match.label)
                scores[before + match.first, 1 + 2 * place] += own
                scores[before + match.first + 1 : before + match.last + 1, 2 + 2 * place] += own
        before += len(text.bounds)
    return scores


def all_features(texts: Sequence[ReadText], lexicon: Lexicon | None) -> HandFeatures:
    """Hand features of all words, with what the patterns say of them; the former alone without patterns."""
    hand = hand_features(texts)
    if lexicon is None:
        return hand
    rows, codes, before = list[int](), list[int](), 0
    for text in texts:
        for _, word, own in matched_words(text, lexicon):
            rows += [before + word] * len(own)
            codes += own
        before += len(text.bounds)
    if not rows:
        return hand
    counts = np.diff(hand.ends, prepend=0)
    every = np.concatenate([np.repeat(np.arange(len(counts)), counts), np.array(rows, np.int64)])
    joined = np.concatenate([hand.codes, np.array(codes, np.uint64)])[np.argsort(every, kind="stable")]
    return HandFeatures(joined, np.cumsum(counts + np.bincount(rows, minlength=len(counts))))


def matched_words(text: ReadText, lexicon: Lexicon) -> Iterator[tuple[Match, int, tuple[int, ...]]]:
    """Each word of each match, and its features."""
    words = text.words
    for match in lexicon.find(text.text, text.bounds):
        telling = match.first < match.last or any(letter.isupper() for letter in words[match.first])
        for word in range(match.first, match.last + 1):
            yield match, word, match_codes(match.label, match.regex, telling, word == match.first)


@lru_cache(maxsize=1 << 12)
def match_codes(label: str, regex: str, telling: bool, begins: bool) -> tuple[int, ...]:
    """The features of a word in a match: that it begins or goes on with it; the same of strings of several words or
    with a capital, and of others, which tell less; for an expression its own."""
    place = "begins" if begins else "goes on"
    kind = f"as {regex}" if regex else "telling" if telling else "plain"
    said = (f"pattern {place} {label}", f"pattern {place} {kind} {label}")
    return tuple(xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) | 1 for text in said)
