"""Reads questions and passages: each text once, however many questions are asked about it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from model.questions.asked import AskedText, TaughtWords
from model.questions.question_type import find_type
from model.spans.features.reading import ReadText, SpanReader, overlaps
from model.spans.words import Bounds
from model.texts import portions, text_key

DEPTHS = (1 / 3, 2 / 3, 1.0)
"""Where in the encoder the states lie: the words, and at the end the sentence, as a sentence encoder compares it."""

UNREAD = -20.0
"""Score of a word that the base model has not read."""

KEPT_NAMES = 4096
"""Names of what is asked for whose vectors are kept."""


class TaughtScores(Protocol):
    """Of one pair: the characters of each piece of the passage, its scores [pieces, 2], and that of no answer."""

    @property
    def offsets(self) -> Sequence[tuple[int, int]]: ...

    @property
    def scores(self) -> NDArray[np.float32]: ...

    @property
    def none(self) -> float: ...


@runtime_checkable
class AnsweringEncoder(Protocol):
    """An encoder that may have a head for questions."""

    digest: str
    precision: str
    answering: object | None

    def answers(self, pairs: Sequence[tuple[str, str]]) -> Sequence[TaughtScores]:
        """What it says of each (passage, question)."""
        ...


def _by_words(bounds: Bounds, taught: TaughtScores) -> NDArray[np.float32]:
    """Scores [words, 2]: the best of the pieces that a word overlaps; very low for a word that no piece stands for."""
    found = np.full((len(bounds), 2), UNREAD, np.float32)
    owners, rows = overlaps(bounds, taught.offsets)
    if owners:
        np.maximum.at(found, np.array(owners), taught.scores[np.array(rows)])
    return found


class QuestionReader:
    """Reads through the encoder, cache and prior of a `SpanReader`, with layers of its own. Thread-safe."""

    def __init__(self, reader: SpanReader) -> None:
        self.words = SpanReader(reader.encoder, reader.prior, reader.cache, DEPTHS)
        self._names: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._guard = threading.Lock()

    def read(self, pairs: Sequence[tuple[str, str]]) -> list[AskedText]:
        """Each (passage, question) in turn."""
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        read = dict(zip(texts, self.words.read(texts), strict=True))
        types = {question: find_type(read[question].words) for _, question in pairs}
        names = self._read_names([found.name for found in types.values()])
        taught = self._read_taught({pair: read[pair[0]] for pair in pairs}) if self.is_taught else {}
        return [
            AskedText(
                read[question],
                read[passage],
                types[question],
                names[types[question].name],
                taught.get((passage, question)),
            )
            for passage, question in pairs
        ]

    @property
    def is_taught(self) -> bool:
        """Whether the base model has a question-answering head of its own."""
        encoder = self.words.encoder
        return isinstance(encoder, AnsweringEncoder) and encoder.answering is not None

    def _read_taught(self, wanted: Mapping[tuple[str, str], ReadText]) -> dict[tuple[str, str], TaughtWords]:
        """What it says of each pair, by words; from the cache where it is there."""
        encoder, cache = self.words.encoder, self.words.cache
        assert isinstance(encoder, AnsweringEncoder)
        keys = {pair: text_key((f"answers {encoder.digest} {encoder.precision}", *pair)) for pair in wanted}
        found: dict[tuple[str, str], TaughtWords] = {}
        for pair, value in zip(keys, cache.get_many(list(keys.values())) if cache is not None else (), strict=False):
            row = np.frombuffer(value, np.float32) if value is not None else None
            if row is not None and len(row) == 1 + 2 * len(wanted[pair].bounds):
                found[pair] = TaughtWords(row[1:].reshape(-1, 2), float(row[0]))
        missing = [pair for pair in wanted if pair not in found]
        for portion in portions(missing, lambda pair: len(pair[0]) + len(pair[1])):
            for pair, own in zip(portion, encoder.answers(portion), strict=True):
                found[pair] = TaughtWords(_by_words(wanted[pair].bounds, own), own.none)
        if cache is not None:
            rows = [(keys[pair], np.append(found[pair].none, found[pair].scores)) for pair in missing]
            cache.put_many([(key, row.astype(np.float32).tobytes()) for key, row in rows])
        return found

    def _read_names(self, wanted: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        nothing = np.zeros(self.words.encoder.width, np.float32)
        with self._guard:
            found = {name: self._names[name] for name in wanted if name in self._names}
        missing = [name for name in dict.fromkeys(wanted) if name and name not in found]
        if missing and self.words.prior is not None:
            found |= dict(zip(missing, self.words.name_vectors(missing), strict=True))
        with self._guard:
            self._names.update({name: vector for name, vector in found.items() if name})
            while len(self._names) > KEPT_NAMES:
                self._names.popitem(last=False)
        return {name: found.get(name, nothing) for name in wanted}
