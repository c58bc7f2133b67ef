"""Reads questions and passages: each text once, however many questions are asked about it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import xxhash
from numpy.typing import NDArray

from model.pretrained.answering_head import AnsweringHead
from model.questions.asked import AskedText, TaughtWords
from model.questions.question_type import find_type
from model.spans.features.reading import ReadText, SpanReader, overlaps
from model.spans.words import Bounds
from model.texts import portions, text_key

DEPTHS = (1 / 3, 2 / 3, 1.0)
"""Where in the encoder the states lie: the words, and at the end the sentence, as a sentence encoder compares it."""

Pair = tuple[str, str]
"""A passage and the question about it."""

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

    @property
    def answering(self) -> AnsweringHead | None: ...

    def answers(self, pairs: Sequence[tuple[str, str]]) -> Sequence[TaughtScores]:
        """What it says of each (passage, question)."""
        ...

    def answers_by(
        self, heads: Sequence[AnsweringHead], pairs: Sequence[tuple[str, str]]
    ) -> Sequence[Sequence[TaughtScores]]:
        """What each of these heads on its last layer says."""
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
        encoder = self.words.encoder
        assert isinstance(encoder, AnsweringEncoder)
        name = f"answers {encoder.digest} {encoder.precision}"
        found = self._read_scores(name, wanted, 1, lambda pairs: [[own] for own in encoder.answers(pairs)])
        return {pair: own[0] for pair, own in found.items()}

    def read_tuned(
        self, encoder: AnsweringEncoder, heads: Sequence[AnsweringHead], texts: Sequence[AskedText]
    ) -> list[list[TaughtWords]]:
        """What each of the heads on the last layer of a fine-tuned encoder says of each text, by words."""
        wanted = {(text.passage.text, text.question.text): text.passage for text in texts}
        arrays = b"".join(part.tobytes() for head in heads for part in (head.weight, head.bias))
        name = f"tuned answers {encoder.digest} {encoder.precision} {xxhash.xxh3_64_hexdigest(arrays)}"
        found = self._read_scores(name, wanted, len(heads), lambda pairs: encoder.answers_by(heads, pairs))
        return [found[text.passage.text, text.question.text] for text in texts]

    def _read_scores(
        self,
        name: str,
        wanted: Mapping[Pair, ReadText],
        heads: int,
        ask: Callable[[Sequence[Pair]], Sequence[Sequence[TaughtScores]]],
    ) -> dict[Pair, list[TaughtWords]]:
        """Of each pair what so many heads say, from the cache or from `ask`; `name`: theirs in the cache."""
        cache = self.words.cache
        keys = {pair: text_key((name, *pair)) for pair in wanted}
        found: dict[Pair, list[TaughtWords]] = {}
        for pair, value in zip(keys, cache.get_many(list(keys.values())) if cache is not None else (), strict=False):
            row, size = None if value is None else np.frombuffer(value, np.float32), 1 + 2 * len(wanted[pair].bounds)
            if row is not None and len(row) == heads * size:
                found[pair] = [TaughtWords(own[1:].reshape(-1, 2), float(own[0])) for own in row.reshape(heads, size)]
        missing = [pair for pair in wanted if pair not in found]
        for portion in portions(missing, lambda pair: len(pair[0]) + len(pair[1])):
            for pair, own in zip(portion, ask(portion), strict=True):
                found[pair] = [TaughtWords(_by_words(wanted[pair].bounds, one), one.none) for one in own]
        if cache is not None:
            rows = [(keys[pair], [np.append(one.none, one.scores) for one in found[pair]]) for pair in missing]
            cache.put_many([(key, np.concatenate(row).astype(np.float32).tobytes()) for key, row in rows])
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
