"""What a fine-tune is taught about questions: passages with questions, the words of their answers, and the windows in
which an encoder reads both as one pair."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from model.encoder.answering import pair_windows
from model.encoder.windows import Window, Windows
from model.spans.features.reading import overlaps
from model.spans.words import find_words

Places = NDArray[np.int64]
Floats32 = NDArray[np.float32]


class AskedSetJson(TypedDict):
    name: str
    labels: list[str]
    pairs: list[tuple[str, str]]
    answers: list[list[list[tuple[int, int]]]]
    weights: list[float]
    longest: int
    start: NotRequired[tuple[str, str]]


@dataclass(frozen=True)
class AskedSet:
    """One control's questions. `pairs`: (passage, question); `answers`: of each one for each label first and last
    words, any of which is right, none where nothing is; `longest`: words of an answer that is looked for; `start`:
    weight and bias of the base model's own head, if it has one."""

    name: str
    labels: tuple[str, ...]
    pairs: Sequence[tuple[str, str]]
    answers: Sequence[Sequence[Sequence[tuple[int, int]]]]
    weights: Sequence[float]
    longest: int
    start: tuple[Floats32, Floats32] | None = None

    @property
    def texts(self) -> Sequence[tuple[str, str]]:
        """What is read, one after another."""
        return self.pairs

    def to_json(self) -> AskedSetJson:
        """For another process."""
        found: AskedSetJson = {
            "name": self.name,
            "labels": list(self.labels),
            "pairs": list(self.pairs),
            "answers": [[list(own) for own in row] for row in self.answers],
            "weights": list(self.weights),
            "longest": self.longest,
        }
        if self.start is not None:
            found["start"] = _encode(self.start[0]), _encode(self.start[1])
        return found

    @classmethod
    def from_json(cls, raw: AskedSetJson) -> AskedSet:
        """What `to_json` gave."""
        start = raw.get("start")
        return cls(
            raw["name"],
            tuple(raw["labels"]),
            [(passage, question) for passage, question in raw["pairs"]],
            [[[(first, last) for first, last in own] for own in row] for row in raw["answers"]],
            raw["weights"],
            raw["longest"],
            None if start is None else (_decode(start[0]).reshape(2, -1), _decode(start[1])),
        )


def _encode(array: Floats32) -> str:
    return base64.b64encode(np.ascontiguousarray(array, np.float32).tobytes()).decode()


def _decode(text: str) -> Floats32:
    return np.frombuffer(base64.b64decode(text), np.float32)


@dataclass(frozen=True)
class AskedPart:
    """One window of a question and a part of its passage: `words` of the passage that lie in it whole, by their places
    there; `rows`: the tokens that are looked at, the window's first and the passage's; of each pair of a word and a
    token that share a character the word's place in `words` and the token's in `rows`."""

    window: Window
    words: Places
    rows: Places
    owners: Places
    tokens: Places

    @property
    def count(self) -> int:
        """States that are asked for."""
        return len(self.rows)


def read_asked(windows: Windows, pairs: Sequence[tuple[str, str]]) -> list[list[AskedPart]]:
    """The windows of each pair, as they are read when it is served; none of a passage without a word."""
    found: list[list[AskedPart]] = [[] for _ in pairs]
    bounds = [find_words(passage) for passage, _ in pairs]
    for own in pair_windows(windows, pairs):
        places = np.array([place for place, _ in own.passage], np.int64)
        offsets = [offsets for _, offsets in own.passage]
        whole = bounds[own.window.text]
        owners, pieces = (np.array(part, np.int64) for part in overlaps(whole, offsets))
        if not len(owners):
            continue
        first, last = offsets[0][0], max(end for _, end in offsets)
        kept = np.array([first <= whole[owner][0] and whole[owner][1] <= last for owner in owners])
        words = np.unique(owners[kept])
        if len(words):
            rows = np.concatenate([[0], places])
            found[own.window.text].append(
                AskedPart(own.window, words, rows, np.searchsorted(words, owners[kept]), pieces[kept] + 1)
            )
    return found
