"""From pooled encoder outputs and texts to the features of a linear head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.coldstart import normalise
from model.spec import Text

Floats = NDArray[np.floating]

MAX_TERMS = 20_000
"""Most TF-IDF terms kept: bounds the head's size, K x terms floats."""


def dense_features(pooled: Floats, mean: Floats, which: str) -> Floats:
    """Features of one view, rows of unit length.

    `pooled` is [n, depth, width], `mean` the pool's [depth, width]. `last` takes the last layer; `layers` all kept
    ones, each centred and normalised, side by side. Layers decide question type and sentiment, the last alone topics.
    """
    if which == "last":
        return normalise(pooled[:, -1] - mean[-1])
    blocks = normalise(pooled - mean)
    return blocks.reshape(len(pooled), -1) / np.sqrt(pooled.shape[1])


def joined(texts: Sequence[Text]) -> list[str]:
    """The segments of each text in one string."""
    return ["\n".join(text) for text in texts]


@dataclass(frozen=True)
class Terms:
    """TF-IDF of words and word pairs (sublinear, L2-normalised) over a fixed vocabulary."""

    vocabulary: tuple[str, ...]
    idf: Floats

    @classmethod
    def fit(cls, texts: Sequence[Text]) -> Terms:
        """The vocabulary and weights of these texts; empty when they hold no word."""
        vectoriser = _vectoriser(max_features=MAX_TERMS)
        try:
            vectoriser.fit(joined(texts))
        except ValueError:  # sklearn's way to say: no words at all
            return cls((), np.zeros(0, np.float32))
        return cls(tuple(vectoriser.get_feature_names_out()), vectoriser.idf_.astype(np.float32))

    def transform(self, texts: Sequence[Text]) -> Any:
        """Sparse [n, terms]."""
        from scipy.sparse import csr_matrix

        if not self.vocabulary:
            return csr_matrix((len(texts), 0), dtype=np.float32)
        vectoriser = _vectoriser(vocabulary=self.vocabulary)
        vectoriser.idf_ = self.idf
        return vectoriser.transform(joined(texts))


def _vectoriser(**options: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32, **options)
