"""A question and the passage that is to answer it, as a head reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model.questions.question_type import QuestionType
from model.span import Span
from model.spans.features.reading import ReadText
from model.spans.words import to_words

LAYERS, STATE_LAYER = 3, 1
"""Of the states: low and middle know the words, the last the sentence; and the one that tells words apart best."""

MOST_QUESTION_WORDS = 64
"""Words of a question that are looked at: the similarities of a passage of a million characters stay small so."""


@dataclass(frozen=True)
class TaughtWords:
    """Scores of the passage's words as an answer's first and last [words, 2], and of no answer."""

    scores: NDArray[np.float32] = field(repr=False)
    none: float


@dataclass(frozen=True)
class AskedText:
    """A passage with its question, both with the states of their words."""

    question: ReadText
    passage: ReadText
    type: QuestionType
    name: NDArray[np.float32] = field(repr=False)
    """Unit vector of the name of what is asked for; zeros without."""
    taught: TaughtWords | None = None
    """What the base model's own question-answering head says, if it has one."""

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same example: a passage with another question is another one."""
        return self.question.text, self.passage.text


@dataclass(frozen=True)
class AnsweredText:
    """What annotators say of a question. `spans`: each of them answers it, none say that nothing does; `weight`: how
    much it counts (several annotators that disagree are several examples)."""

    asked: AskedText
    spans: tuple[Span, ...] = ()
    weight: float = 1.0

    def word_spans(self) -> list[tuple[int, int]]:
        """First and last word of every answer, whatever its label."""
        return sorted({place for label in {span.label for span in self.spans} for place in self.answers(label)})

    def answers(self, label: str) -> list[tuple[int, int]]:
        """First and last word of every answer with this label."""
        bounds = self.asked.passage.bounds
        found = {to_words(bounds, span) for span in self.spans if span.label == label}
        return sorted((own.first, own.last) for own in found if own is not None)


@dataclass(frozen=True)
class Sentences:
    """Where the sentences of a passage begin: `first` of each; `of` gives the sentence of each word."""

    first: Sequence[int]
    of: Sequence[int] = field(repr=False)


def find_sentences(text: ReadText) -> Sentences:
    """A sentence ends behind . ! ? … and before white space that no small letter follows, and at a line's end."""
    first, of = [], []
    words, bounds = text.words, text.bounds
    begins = True
    for place, word in enumerate(words):
        if begins:
            first.append(place)
        of.append(len(first) - 1)
        begins = place + 1 < len(words) and _ends(text.text, word, bounds[place][1], bounds[place + 1][0])
    return Sentences(first, of)


def _ends(text: str, word: str, end: int, start: int) -> bool:
    between = text[end:start]
    if "\n" in between or "\r" in between:
        return True
    return word in ".!?…。！？" and (bool(between) or word in "。！？") and not text[start].islower()
