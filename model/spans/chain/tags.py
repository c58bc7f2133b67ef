"""The tags of a chain (O, B-l, I-l), which may follow which, and how they share strength.

O is tag 0; label k has the tags 1 + 2k (its first word) and 2 + 2k (words that go on)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.numerics.arrays import Floats

SHARED, LABEL, PLACE, OWN = 0.5, 1.0, 0.25, 0.25
"""Prior covariance of the weights of two tags: of all that mark something; more if they are of one label, if both
begin (or both go on), and with itself. Ties are worth 2 to 3 points of F1 with 8 to 64 texts."""


MANY_TAGS = 100
"""Tags from which it is worth knowing what matrices of tags are made of: below, one product of them is quicker."""


class WordSpan(NamedTuple):
    """Words `first` to `last` (inclusive) of a text, and what they are."""

    first: int
    last: int
    label: str


@dataclass(frozen=True)
class TagSet:
    """The tags of some labels."""

    labels: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many tags there are."""
        return 1 + 2 * len(self.labels)

    @cached_property
    def kinds(self) -> NDArray[np.int64]:
        """0 for O, 1 for a first word, 2 for a word that goes on [K]."""
        tags = np.arange(self.size)
        return np.where(tags == 0, 0, 1 + (tags + 1) % 2)

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """0 for O, 1 + the label's place for its tags [K]."""
        return (np.arange(self.size) + 1) // 2

    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        """Whether a tag (column) may follow another (row) [K, K]."""
        same = self.owners[:, None] == self.owners
        return np.asarray((self.kinds != 2)[None, :] | same)

    @cached_property
    def starts(self) -> NDArray[np.bool_]:
        """Whether a text may begin with a tag [K]."""
        return np.asarray(self.kinds != 2)

    @cached_property
    def repeats(self) -> NDArray[np.bool_]:
        """Where a label begins right behind itself [K, K]."""
        same = (self.owners[:, None] == self.owners) & (self.owners > 0)
        return np.asarray(same & (self.kinds == 1)[None, :])

    @cached_property
    def mix(self) -> NDArray[np.float32]:
        """Symmetric root of the prior covariance of tag weights [K, K]."""
        marks = (self.owners > 0).astype(float)
        covariance = SHARED * np.outer(marks, marks)
        covariance += LABEL * (self.owners[:, None] == self.owners) * np.outer(marks, marks)
        covariance += PLACE * (self.kinds[:, None] == self.kinds) * np.outer(marks, marks)
        covariance += OWN * np.diag(marks)
        covariance[0, 0] = 1.0
        values, vectors = np.linalg.eigh(covariance)
        return ((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T).astype(np.float32)

    def mixed(self, rows: Floats) -> Floats:
        """Rows [n, K] times `mix`. Of many tags by the means over labels, and over a label's two tags: all that the
        matrix is made of."""
        if self.size < MANY_TAGS:
            return np.asarray(rows @ self.mix)
        labels = len(self.labels)
        all_of_kind, all_marks = PLACE * labels + OWN, 2 * SHARED * labels + 2 * LABEL + PLACE * labels + OWN
        own, pair, kind, every = (np.sqrt(value) for value in (OWN, 2 * LABEL + OWN, all_of_kind, all_marks))
        of_kind = [rows[:, part::2].mean(1, keepdims=True) for part in (1, 2)]
        of_label = (rows[:, 1::2] + rows[:, 2::2]) / 2
        of_label *= np.float32(pair - own)
        of_all = np.float32((every - pair - kind + own) / 2) * (of_kind[0] + of_kind[1])
        found = np.float32(own) * rows
        found[:, 0] = rows[:, 0]
        for part in (1, 2):
            found[:, part::2] += of_label + (np.float32(kind - own) * of_kind[part - 1] + of_all)
        return found

    @cached_property
    def sorts(self) -> NDArray[np.int64]:
        """Which of the shared transitions a pair of tags uses [K, K]: by their kinds and whether the label stays."""
        same = (self.owners[:, None] == self.owners).astype(np.int64)
        return 6 * self.kinds[:, None] + 2 * self.kinds[None, :] + same

    def encode(self, words: int, spans: Iterable[WordSpan]) -> NDArray[np.int64]:
        """The tag of each word. Spans must not overlap; those of other labels are left out."""
        place = {label: index for index, label in enumerate(self.labels)}
        tags = np.zeros(words, np.int64)
        for span in spans:
            if span.label in place:
                first = 1 + 2 * place[span.label]
                tags[span.first] = first
                tags[span.first + 1 : span.last + 1] = first + 1
        return tags

    def decode(self, tags: Sequence[int]) -> list[WordSpan]:
        """The spans that a sequence of tags marks."""
        found: list[WordSpan] = []
        for word, tag in enumerate(tags):
            if self.kinds[tag] == 1:
                found.append(WordSpan(word, word, self.labels[self.owners[tag] - 1]))
            elif self.kinds[tag] == 2:
                found[-1] = found[-1]._replace(last=word)
        return found


SORTS = 18
"""Shared transitions: 3 kinds from, 3 kinds to, label stays or not."""
