"""What a fine-tune is taught about marked text: the tag of each word, the texts in windows, and which make a batch."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from model.encoder.token_states import STRIDE, window_pieces
from model.encoder.windows import Window, Windows
from model.spans.features.reading import overlaps
from model.spans.words import find_words

Tags = NDArray[np.int64]


class MarkedSetJson(TypedDict):
    name: str
    labels: list[str]
    texts: list[str]
    tags: list[list[int]]
    weights: list[float]
    offsets: list[str]


@dataclass(frozen=True)
class MarkedSet:
    """One control's texts: `tags` of each one's words, `weights`; `offsets`: what the prior says of the words, times
    its weight [words, K], where there is a prior. It has not seen the texts, so that the head learns what is left."""

    name: str
    labels: tuple[str, ...]
    texts: Sequence[str]
    tags: Sequence[Tags]
    weights: Sequence[float]
    offsets: Sequence[NDArray[np.float16]] = ()

    @property
    def size(self) -> int:
        """How many tags there are."""
        return 1 + 2 * len(self.labels)

    def to_json(self) -> MarkedSetJson:
        """For another process."""
        return {
            "name": self.name,
            "labels": list(self.labels),
            "texts": list(self.texts),
            "tags": [own.tolist() for own in self.tags],
            "weights": list(self.weights),
            "offsets": [base64.b64encode(own.tobytes()).decode() for own in self.offsets],
        }

    @classmethod
    def from_json(cls, raw: MarkedSetJson) -> MarkedSet:
        """What `to_json` gave."""
        tags = [np.array(own, np.int64) for own in raw["tags"]]
        size = 1 + 2 * len(raw["labels"])
        offsets = [np.frombuffer(base64.b64decode(own), np.float16).reshape(-1, size) for own in raw["offsets"]]
        return cls(raw["name"], tuple(raw["labels"]), raw["texts"], tags, raw["weights"], offsets)


@dataclass(frozen=True)
class WordPart:
    """One window of a text: `words` that lie in it whole, by their places in the text; of each pair of a word and a
    token that share a character the word's place in `words` and the token's in the window; `capitals`: places in
    `words` of those that start with one."""

    window: Window
    words: Tags
    owners: Tags
    tokens: Tags
    capitals: Tags = field(repr=False)


def read_parts(windows: Windows, texts: Sequence[str]) -> list[list[WordPart]]:
    """The windows of each text, as long as those that are read when it is served; none of a text without a word."""
    before, after = windows.frame
    length = window_pieces(windows)
    found = []
    for text, pieces in zip(texts, windows.pieces(texts), strict=True):
        bounds = find_words(text)
        owners, rows = (np.array(own, np.int64) for own in overlaps(bounds, pieces.offsets))
        count = len(pieces.ids)
        starts = [0] if count <= length else [*range(0, count - length, min(STRIDE, length)), count - length]
        parts = []
        for start in starts if len(owners) else ():
            end = min(start + length, count)
            inside = (rows >= start) & (rows < end)
            whole = np.setdiff1d(owners[inside], owners[~inside])
            kept = inside & np.isin(owners, whole)
            ids = [*before, *pieces.ids[start:end], *after]
            capitals = np.array([text[bounds[word][0]].isupper() for word in whole], dtype=bool)
            parts.append(
                WordPart(
                    Window(0, ids, [0] * len(ids)),
                    whole,
                    np.searchsorted(whole, owners[kept]),
                    rows[kept] - start + len(before),
                    np.flatnonzero(capitals),
                )
            )
        found.append([part for part in parts if len(part.words)])
    return found


def draw_texts(count: int, seed: int, step: int, size: int) -> list[int]:
    """The texts of a step: all of them in turn, in another order each time round."""
    rows: list[int] = []
    while len(rows) < size:
        epoch, first = divmod(step * size + len(rows), count)
        order = np.random.default_rng([seed, epoch]).permutation(count)
        rows += order[first : first + size - len(rows)].tolist()
    return rows
