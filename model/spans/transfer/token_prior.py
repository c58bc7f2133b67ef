"""A base model that was trained to mark text already: its own head as the prior, where its labels are the project's.

It answers before the first label; later the fitted chain starts from it, as far as held-out texts say that it is right.
Its hidden features are the log-probabilities of its own tags; the vector of a label says which of them are its.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from model.interfaces import Embedder
from model.labels import match_names
from model.numerics.float16 import widen
from model.pretrained.token_head import FIRST, FURTHER, TokenHead, split_tag
from model.spans.transfer.label_words import spell_out
from model.spans.transfer.prior import FLOOR, TransferPrior, fitting_prior
from model.spans.words import Bounds

UNKNOWN = 0.02
"""Probability that a word belongs to a label which the trained head does not know, of all such together."""


@dataclass(frozen=True)
class TokenPrior(TransferPrior):
    """Over the encoder of this digest; `layers` is its last one."""

    head: TokenHead = field(kw_only=True, repr=False)

    @property
    def hidden_width(self) -> int:
        """One for each of the head's tags."""
        return len(self.head.tags)

    @cached_property
    def name(self) -> str:
        """A short digest of the head."""
        content = self.head.weight.tobytes() + self.head.bias.tobytes() + "\0".join(self.head.tags).encode()
        return xxhash.xxh3_64(content).hexdigest()

    def hidden(
        self, texts: Sequence[str], bounds: Sequence[Bounds], states: Sequence[NDArray[np.float16]]
    ) -> list[NDArray[np.float16]]:
        """Log-probabilities of the head's tags [words, tags] of each text, not below FLOOR."""
        return [self._tags(own) for own in states]

    def _tags(self, states: NDArray[np.float16]) -> NDArray[np.float16]:
        scores = widen(states) @ self.head.weight.T + self.head.bias
        scores -= scores.max(1, keepdims=True)
        scores -= np.log(np.exp(scores).sum(1, keepdims=True))
        return np.asarray(np.maximum(scores, FLOOR), np.float16)

    def vectors(self, encoder: Embedder, labels: Sequence[str], keys: Sequence[str] = ()) -> NDArray[np.float32]:
        """For each label, which of the head's names is its [labels, names]: nothing for one that the head lacks."""
        names = self.head.names
        ours = [[key, label] for key, label in zip(keys or labels, labels, strict=True)]
        found = match_names(names, ours)
        spelled = match_names([_spoken(name) for name in names], [[_spoken(own) for own in row] for row in ours])
        vectors = np.zeros((len(labels), len(names)), np.float32)
        taken = set(found)
        for row, (sure, likely) in enumerate(zip(found, spelled, strict=True)):
            place = sure if sure >= 0 or likely in taken else likely
            if place >= 0:
                vectors[row, place] = 1
        return vectors

    def log_probabilities(self, hidden: NDArray[np.float16], names: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of the tags O, B-l and I-l of the labels with these vectors [words, 1 + 2 * labels], not below FLOOR. Names
        that no label has are words of no span; where no label is known nothing is said."""
        known = names.any(1)
        scores = np.zeros((len(hidden), 1 + 2 * len(names)), np.float32)
        if not known.any():
            return scores
        shares = np.exp(hidden.astype(np.float32))
        first, further = shares @ self.tables[0] @ names.T, shares @ self.tables[1] @ names.T
        spare = np.float32(UNKNOWN / (2 * max(1, int((~known).sum()))) if not known.all() else 0.0)
        inside = shares @ (self.tables[2] @ names.T)[:, known].sum(1)
        scores[:, 0] = 1 - inside
        scores[:, 1::2] = np.where(known, first, spare)
        scores[:, 2::2] = np.where(known, further, spare)
        return np.asarray(np.maximum(np.log(np.maximum(scores, 1e-9)), FLOOR), np.float32)

    @cached_property
    def tables(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Which tags [tags, names] say that a word is the first of a span, a further one, or of it at all. One that
        says no more than the name says either."""
        names = self.head.names
        tables = [np.zeros((len(self.head.tags), len(names)), np.float32) for _ in range(3)]
        for row, tag in enumerate(self.head.tags):
            place, name = split_tag(tag)
            if name:
                column = names.index(name)
                tables[0][row, column] = place in FIRST
                tables[1][row, column] = place in FURTHER
                tables[2][row, column] = 1
        return tables[0], tables[1], tables[2]


def _spoken(name: str) -> str:
    """`ORG` and `Organization` are one."""
    return spell_out(name).replace("organization", "organisation")


def choose_prior(digest: str, layers: int, head: TokenHead | None, *paths: Path) -> TransferPrior | None:
    """What judges words by the names of labels with the encoder of this digest: a prior trained here or shipped; else
    the head that the base model was trained with."""
    found = fitting_prior(digest, *paths)
    return found if found is not None or head is None else TokenPrior(digest, (layers,), {}, head=head)
