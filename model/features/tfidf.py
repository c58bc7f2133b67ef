"""From pooled encoder outputs and texts to the features of a linear head."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.numerics.arrays import Floats, SparseRows, normalise
from model.spec import Text
from model.texts import POINTS, UNSPACED

MAX_TERMS = 20_000
"""Most TF-IDF terms kept, the most frequent ones: bounds the head's size, K x terms floats."""

WORD = re.compile(r"\b\w\w+\b")


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
    """TF-IDF of words and word pairs (sublinear, L2-normalised) over a fixed vocabulary.

    scikit-learn's TfidfVectorizer is the oracle of the tests, not the library: importing it takes 1.2 s of CPU and
    100 MB in each process that serves or learns (decision 0016)."""

    vocabulary: tuple[str, ...]
    idf: Floats

    @classmethod
    def fit(cls, texts: Sequence[Text]) -> Terms:
        """The vocabulary and weights of these texts; empty when they hold no word."""
        total: Counter[str] = Counter()
        rows: Counter[str] = Counter()
        for text in joined(texts):
            terms = split_terms(text)
            total.update(terms)
            rows.update(set(terms))
        kept = total if len(total) <= MAX_TERMS else sorted(total, key=lambda term: (-total[term], term))[:MAX_TERMS]
        vocabulary = tuple(sorted(kept))
        seen = np.array([rows[term] for term in vocabulary], dtype=np.float64)
        return cls(vocabulary, (np.log((1 + len(texts)) / (1 + seen)) + 1).astype(np.float32))

    def transform(self, texts: Sequence[Text]) -> SparseRows:
        """Sparse float32 [n, terms]."""
        rows = [self._count(text) for text in joined(texts)] if self.vocabulary else [{}] * len(texts)
        ends = np.cumsum([0, *map(len, rows)])
        columns = np.fromiter((column for row in rows for column in row), np.int32, int(ends[-1]))
        counts = np.fromiter((count for row in rows for count in row.values()), np.float32, int(ends[-1]))
        return weigh_terms(columns, counts, ends, self.idf)

    def _count(self, text: str) -> dict[int, int]:
        """Column -> how often, in the order of the columns."""
        columns = self._columns
        known = Counter(column for term in split_terms(text) if (column := columns.get(term)) is not None)
        return dict(sorted(known.items()))

    @cached_property
    def _columns(self) -> dict[str, int]:
        # Made at first use and kept. Two threads that come at once make the same one.
        return {term: column for column, term in enumerate(self.vocabulary)}


def weigh_terms(columns: NDArray[np.int32], counts: Floats, ends: NDArray[np.int64], idf: Floats) -> SparseRows:
    """Sparse float32 [n, terms]: (1 + ln count) idf, rows at unit length.

    Row i has the entries ends[i] to ends[i + 1] of `columns` and `counts`."""
    from scipy.sparse import csr_matrix

    values = np.log(counts, dtype=np.float32)
    values += 1
    values *= idf[columns].astype(np.float32, copy=False)
    squares = np.concatenate([[0.0], np.cumsum(np.square(values), dtype=np.float64)])
    lengths = np.sqrt(squares[ends[1:]] - squares[ends[:-1]])
    values /= np.repeat(lengths, np.diff(ends)).astype(np.float32)
    rows: SparseRows = csr_matrix((values, columns, ends), shape=(len(ends) - 1, len(idf)))
    return rows


def split_terms(text: str) -> list[str]:
    """The words (of two characters or more) and word pairs of a text, lower case, as often as they come.

    Where a script has no blanks between words, its characters are the words: with their pairs they tell more there
    than pairs alone (docs/languages.md)."""
    words = WORD.findall(text.lower()) if text.isascii() else _split_words(text)
    return words + [" ".join(pair) for pair in pairwise(words)]


class _Scripts(NamedTuple):
    """Expressions for what is not ASCII. `units`: characters of a script without blanks, with their marks."""

    words: re.Pattern[str]
    points: re.Pattern[str]
    runs: re.Pattern[str]
    units: re.Pattern[str]


@lru_cache(maxsize=1)
def _scripts() -> _Scripts:
    # `re` takes marks for no part of a word: every vowel sign of Hindi would end one.
    marks = "".join(chr(point) for point in range(0x300, 0x20000) if unicodedata.category(chr(point))[0] == "M")
    marks += "\u200c\u200d"
    return _Scripts(
        re.compile(rf"\w[\w{marks}]*"),
        re.compile(POINTS),
        re.compile(rf"[{UNSPACED}][{UNSPACED}{marks}]*|[^{UNSPACED}]+"),
        re.compile(rf"[{UNSPACED}](?:(?![\w])[{marks}])*"),
    )


def _split_words(text: str) -> list[str]:
    scripts = _scripts()
    # Full-width letters are letters, and composed ones what their parts are.
    plain = scripts.points.sub("", unicodedata.normalize("NFKC", text).lower())
    words = []
    for word in scripts.words.findall(plain):
        for run in scripts.runs.findall(word):
            units = scripts.units.findall(run)
            words += units or ([run] if len(run) > 1 else [])
    return words
