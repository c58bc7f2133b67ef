"""From read texts to what a chain takes: dense columns on one scale, hand features, and what the prior says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from model.numerics.float16 import widen
from model.spans.chain.crf import Features
from model.spans.chain.tags import TagSet
from model.spans.features.hand_features import Codes, HandFeatures, feature_matrix
from model.spans.features.pattern_features import PatternTrust, all_features, starting_scores
from model.spans.features.reading import ReadText
from model.spans.patterns.lexicon import Lexicon
from model.spans.transfer.prior import TransferPrior

SCALE_TEXTS, SCALE_WORDS = 600, 100_000
"""Texts of the pool that a scale is measured on, and their words: few of long texts."""

MOST_DENSE, LEAST_DENSE, DENSE = 160.0, 20.0, 640.0
"""Mean squared length of a word's dense columns: DENSE / sqrt(texts) within bounds. More freedom with more texts is
wrong: this beats a constant by 1 to 2.6 points of F1 at 256 to 1,000 texts, and halves the over-confidence."""

PRIOR_TEXTS = 64
"""Texts up to which the prior counts in full; then sqrt(PRIOR_TEXTS / texts)."""


@dataclass(frozen=True)
class StateScale:
    """Mean and spread of each dimension of word states, over unlabelled texts: kept while the encoder stays."""

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]

    @classmethod
    def measure(cls, texts: Sequence[ReadText], width: int) -> StateScale:
        """Of at most SCALE_TEXTS texts; of no opinion without a word."""
        sizes = accumulate(len(text.bounds) for text in texts)
        first = [text for text, size in zip(texts[:SCALE_TEXTS], sizes, strict=False) if size <= SCALE_WORDS]
        rows = [text.states for text in first or texts[:1] if len(text.bounds)]
        if not rows:
            return cls(np.zeros(width, np.float32), np.ones(width, np.float32))
        states = widen(np.concatenate(rows))
        return cls(states.mean(0), states.std(0) + np.float32(1e-3))


def dense_scale(texts: int) -> float:
    """With so many labelled texts."""
    return float(np.clip(DENSE / np.sqrt(max(texts, 1)), LEAST_DENSE, MOST_DENSE))


def prior_weight(texts: int) -> float:
    """With so many labelled texts."""
    return float(min(1.0, np.sqrt(PRIOR_TEXTS / max(texts, 1))))


@dataclass(frozen=True)
class FeatureSpace:
    """What a head makes of texts: the same when it is fitted and when it answers. `known`: its hand features, sorted;
    `names`: vectors of its labels' names; `offset_weight`: of the prior's log-probabilities, 0 without; `lexicon`:
    patterns that people brought, `trust`: how far they are believed."""

    scale: StateScale = field(repr=False)
    dense: float
    known: Codes = field(repr=False)
    names: NDArray[np.float32] = field(repr=False)
    offset_weight: float = 0.0
    lexicon: Lexicon | None = None
    trust: PatternTrust = field(default_factory=PatternTrust)

    def features(
        self, texts: Sequence[ReadText], prior: TransferPrior | None, tags: TagSet, hand: HandFeatures | None = None
    ) -> Features:
        """Of all words of the texts, for a chain of these tags; `hand`: their hand features where they are known."""
        offset = None
        if self.offset_weight:
            assert prior is not None, "this head was fitted with a prior"
            hidden = np.concatenate([text.hidden for text in texts])
            offset = np.float32(self.offset_weight) * prior.log_probabilities(hidden, self.names)
        states = widen(np.concatenate([text.states for text in texts]))
        states -= self.scale.mean
        states *= np.float32(np.sqrt(self.dense / states.shape[1])) / self.scale.spread
        return Features(
            [len(text.bounds) for text in texts],
            states,
            capitalised(texts),
            feature_matrix(hand or all_features(texts, self.lexicon), self.known),
            offset,
            starting_scores(texts, self.lexicon, self.trust, tags) if self.lexicon is not None else None,
        )


def capitalised(texts: Sequence[ReadText]) -> NDArray[np.int64]:
    """The rows of words that start with a capital."""
    marks = [text.text[start].isupper() for text in texts for start, _ in text.bounds]
    return np.flatnonzero(np.array(marks, dtype=bool))
