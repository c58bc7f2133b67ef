"""Which annotated spans are most like some words of a text, by what the head reads of them; from the cache alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.numerics.arrays import Floats, normalise
from model.numerics.float16 import widen
from model.questions.answer_memory import question_vector
from model.span import Span
from model.spans.features.feature_space import StateScale
from model.spans.features.reading import ReadText, SpanReader
from model.spans.words import to_words

MOST_TEXTS, MOST_CHARACTERS = 3000, 400_000
"""Texts that are compared with, the newest: a tenth of a second of a core at 1,000 sentences, never a pass of the
encoder."""

PORTION = 64
"""Texts whose states are in memory at once."""


@dataclass(frozen=True)
class MarkedText:
    """An annotated text, and what is marked in it; `question`: what that answers, None where nothing is asked."""

    task: int
    text: str
    spans: tuple[Span, ...]
    question: str | None = None

    @property
    def read(self) -> tuple[str, ...]:
        """What of it is read."""
        return (self.text,) if self.question is None else (self.text, self.question)


@dataclass(frozen=True)
class Neighbour:
    """An annotated span, and how like it is: the cosine of centred states; of answers, the mean of that and of their
    questions' cosine."""

    marked: MarkedText
    span: Span
    similarity: float


@dataclass(frozen=True)
class SpanIndex:
    """The annotated spans that are compared with. `texts` were looked at, of the `known` ones with spans; the others
    are older, or the cache has lost them."""

    spans: tuple[tuple[MarkedText, Span], ...]
    vectors: NDArray[np.float32]
    texts: int
    known: int

    @classmethod
    def of_spans(cls, reader: SpanReader, scale: StateScale, marked: Sequence[MarkedText]) -> SpanIndex:
        """Of texts, the newest first, as far as they have been read before; with a question, of its answers: `reader`
        and `scale` are those of its head."""
        wanted = [one for one in marked if one.spans]
        spans: list[tuple[MarkedText, Span]] = []
        rows: list[Floats] = []
        texts = 0
        kept = _newest(wanted)
        for start in range(0, len(kept), PORTION):
            portion = kept[start : start + PORTION]
            read = {own.text: own for own in reader.known([text for one in portion for text in one.read])}
            for one in portion:
                if any(text not in read for text in one.read):
                    continue
                texts += 1
                question = None if one.question is None else read[one.question]
                for span in dict.fromkeys(one.spans):
                    if (vector := span_vector(read[one.text], span, scale, question)) is not None:
                        spans.append((one, span))
                        rows.append(vector)
        found = np.stack(rows) if rows else np.zeros((0, 0), np.float32)
        return cls(tuple(spans), np.asarray(found, np.float32), texts, len(wanted))

    def nearest(self, vector: Floats | None, count: int, task: int, content: tuple[str, str | None]) -> list[Neighbour]:
        """The likest first, at most one of a text; none of `task` itself, nor of its very text (and question) in
        another."""
        if vector is None or not self.spans:
            return []
        alike = self.vectors @ vector
        found: list[Neighbour] = []
        seen = {content}
        for place in np.argsort(-alike, kind="stable").tolist():
            one, span = self.spans[place]
            if one.task == task or (one.text, one.question) in seen:
                continue
            seen.add((one.text, one.question))
            found.append(Neighbour(one, span, float(alike[place])))
            if len(found) == count:
                break
        return found


def span_vector(text: ReadText, span: Span, scale: StateScale, question: ReadText | None = None) -> Floats | None:
    """A unit vector of the span's words, on the head's scale; of an answer, beside what its question means. None where
    it touches no word that was read."""
    mark = to_words(text.bounds, span)
    if mark is None or len(scale.mean) != text.states.shape[1]:
        return None
    states = (widen(text.states[mark.first : mark.last + 1]) - scale.mean) / scale.spread
    found: Floats = normalise(states.mean(0)).astype(np.float32)
    if question is None:
        return found
    return np.concatenate([found, question_vector(question)]) / np.float32(np.sqrt(2))


def _newest(marked: Sequence[MarkedText]) -> list[MarkedText]:
    kept, characters = list[MarkedText](), 0
    for one in marked[:MOST_TEXTS]:
        characters += sum(map(len, one.read))
        if kept and characters > MOST_CHARACTERS:
            break
        kept.append(one)
    return kept
