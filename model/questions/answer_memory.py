"""What answered like questions before: words of a passage are compared with earlier answers, by how alike the questions
are. Where the same few questions come again and again this says more than what they have in common with the passage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import xxhash
from numpy.typing import NDArray

from model.numerics.arrays import normalise, softmax_rows
from model.numerics.float16 import widen
from model.questions.asked import LAYERS, STATE_LAYER, AnsweredText, AskedText
from model.questions.question_type import STOP_WORDS
from model.spans.features.feature_space import StateScale
from model.spans.features.reading import ReadText
from model.texts import text_key

Floats32 = NDArray[np.float32]

MOST = 400
"""Answers that are remembered, the last ones: 1.5 KB each in a version."""

MOST_ANSWER_WORDS = 12
"""Words of an answer that are remembered as such."""

SHARPNESS = 25.0
"""How much more an answer counts whose question is more alike: a cosine of .1 less is a twelfth."""

KNOWN_FROM = 0.5
"""Cosine of two questions from which one says something about the other."""

SIZE = 4.0
"""Of what is said: as large as the other columns' part of a score with the weights that a few answers give."""


@dataclass(frozen=True)
class AnswerMemory:
    """Unit vectors of questions and of what answered them [answers, width]; `passages` [answers, 16]: keys of their
    passages, for an answer says nothing about its own."""

    questions: NDArray[np.float16] = field(repr=False)
    answers: NDArray[np.float16] = field(repr=False)
    passages: NDArray[np.uint8] = field(repr=False)
    words: NDArray[np.uint64] = field(repr=False)
    """Hashes of the answers' words [answers, MOST_ANSWER_WORDS], in small letters; 0 for none."""

    @classmethod
    def empty(cls, width: int) -> AnswerMemory:
        """Before any answer."""
        nothing = np.zeros((0, width), np.float16)
        return cls(nothing, nothing, np.zeros((0, 16), np.uint8), np.zeros((0, MOST_ANSWER_WORDS), np.uint64))

    @classmethod
    def of(cls, examples: Sequence[AnsweredText], scale: StateScale) -> AnswerMemory:
        """Of the last of these answers."""
        rows = [(one, span) for one in examples for span in one.word_spans()][-MOST:]
        width = len(scale.mean) // LAYERS
        if not rows:
            return cls.empty(width)
        questions = np.stack([question_vector(one.asked.question) for one, _ in rows])
        answers = [word_vectors(one.asked, scale)[first : last + 1].mean(0) for one, (first, last) in rows]
        keys = [np.frombuffer(text_key((one.asked.passage.text,)), np.uint8) for one, _ in rows]
        words = np.zeros((len(rows), MOST_ANSWER_WORDS), np.uint64)
        for row, (one, (first, last)) in zip(words, rows, strict=True):
            hashes = _hashes(one.asked.passage.words[first : last + 1][:MOST_ANSWER_WORDS])
            row[: len(hashes)] = hashes
        vectors = normalise(np.stack(answers)).astype(np.float16)
        return cls(questions.astype(np.float16), vectors, np.stack(keys), words)

    def likeness(self, asked: AskedText, scale: StateScale) -> Floats32:
        """How much each word of a passage is like what answered such questions, over the passage's mean, and how much
        it is one of the same words [words, 2]; 0 where no question was like this one."""
        count = len(asked.passage.bounds)
        key = np.frombuffer(text_key((asked.passage.text,)), np.uint8)
        others = np.flatnonzero((self.passages != key).any(1))
        if not count or not len(others):
            return np.zeros((count, 2), np.float32)
        alike = widen(self.questions[others]) @ question_vector(asked.question)
        known = max(0.0, (float(alike.max()) - KNOWN_FROM) / (1 - KNOWN_FROM))
        shares = softmax_rows(SHARPNESS * alike)
        said = word_vectors(asked, scale) @ (shares @ widen(self.answers[others]))
        weights: dict[int, float] = {}
        for row, share in zip(self.words[others], shares, strict=True):
            for word in set(row.tolist()) - {0}:
                weights[word] = weights.get(word, 0.0) + float(share)
        same = [weights.get(word, 0.0) for word in _hashes(asked.passage.words).tolist()]
        both = np.stack([said - said.mean(), np.sqrt(np.array(same))], axis=1)
        return np.asarray(SIZE * known * both, np.float32)

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """Arrays by name."""
        return {
            "memory.questions": self.questions,
            "memory.answers": self.answers,
            "memory.passages": self.passages,
            "memory.words": self.words,
        }


def restore_memory(tensors: Mapping[str, NDArray[np.generic]]) -> AnswerMemory:
    """Inverse of `tensors`. Raises KeyError."""
    questions, answers = (tensors[f"memory.{part}"].astype(np.float16) for part in ("questions", "answers"))
    return AnswerMemory(
        questions, answers, tensors["memory.passages"].astype(np.uint8), tensors["memory.words"].astype(np.uint64)
    )


def _hashes(words: Sequence[str]) -> NDArray[np.uint64]:
    """Of words that say something, in small letters; 0 for others."""
    return np.array(
        [0 if word.lower() in STOP_WORDS or not word[0].isalnum() else word_hash(word) for word in words], np.uint64
    )


@lru_cache(maxsize=1 << 16)
def word_hash(word: str) -> int:
    """Of a word in small letters; never 0."""
    return xxhash.xxh3_64_intdigest(word.lower().encode("utf-8", "surrogatepass")) | 1


def question_vector(question: ReadText) -> Floats32:
    """A unit vector of what a question means [width]; zeros without a word."""
    states = question.states
    width = states.shape[1] // LAYERS
    if not len(states):
        return np.zeros(width, np.float32)
    found: Floats32 = normalise(widen(np.ascontiguousarray(states[:, -width:])).mean(0)).astype(np.float32)
    return found


def word_vectors(asked: AskedText, scale: StateScale) -> Floats32:
    """Unit vectors of the passage's words [words, width], as the middle of the encoder has them."""
    width = len(scale.mean) // LAYERS
    part = slice(STATE_LAYER * width, (STATE_LAYER + 1) * width)
    rows = widen(np.ascontiguousarray(asked.passage.states[:, part]))
    found: Floats32 = normalise((rows - scale.mean[part]) / scale.spread[part]).astype(np.float32)
    return found
