"""Reads questions and passages: each text once, however many questions are asked about it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.questions.asked import AskedText
from model.questions.question_type import find_type
from model.spans.features.reading import SpanReader

DEPTHS = (1 / 3, 2 / 3, 1.0)
"""Where in the encoder the states lie: the words, and at the end the sentence, as a sentence encoder compares it."""

KEPT_NAMES = 4096
"""Names of what is asked for whose vectors are kept."""


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
        return [
            AskedText(read[question], read[passage], types[question], names[types[question].name])
            for passage, question in pairs
        ]

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
