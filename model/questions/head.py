"""The head for questions: at most one answer a label, with honest scores and a reason; none where that is likelier.

Everything a reply needs is numpy. `config()` and `tensors()` are all of its state, in JSON and arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from model.errors import VersionError
from model.questions.answer_memory import AnswerMemory, restore_memory
from model.questions.answer_model import AnswerWeights, Band, Floats32, Questions
from model.questions.asked import AskedText, find_sentences
from model.questions.layout import COLUMNS, NONE_COLUMNS, put_together
from model.questions.question_type import STOP_WORDS
from model.span import ScoredSpan
from model.spans.chain.tags import WordSpan
from model.spans.features.feature_space import StateScale
from model.spans.head.calibration import CalibrationJson, SpanCalibration
from model.spans.head.head import CLICKS, OPENING_WORDS, DetailsJson, RulesJson, ShowRules, SpanDetails, Suggestions
from model.spans.transfer.prior import TransferPrior
from model.spans.words import to_characters
from model.texts import portions

KIND, FORMAT = "question answering", 1

PORTION_TEXTS, PORTION_WORDS = 32, 8_000
"""Passages looked at side by side, and their words: the candidates of a word are 500 bytes."""

LEAST_RIGHT = 1e-6
"""The score of a text is never quite 0: nobody knows that."""

MOST_NAMED = 4
"""Words of the question that a reason names."""


class QuestionHeadJson(TypedDict):
    """A head without its arrays."""

    kind: str
    format: int
    labels: Sequence[str]
    prior: str
    dense: float
    longest: int
    rules: RulesJson
    calibration: CalibrationJson
    text_calibration: CalibrationJson
    details: DetailsJson


class BestAnswer(NamedTuple):
    """The likeliest answer with one label. `none`: the probability that there is no answer; `doubt`: what is left to
    all other answers and the less likely of the two."""

    span: WordSpan
    probability: float
    none: float

    @property
    def doubt(self) -> float:
        """How unsure it is what to show."""
        return 1 - max(self.probability, self.none)


@dataclass(frozen=True)
class QuestionHead:
    """Answers of one control. `weights`: of each of `labels`; `dense`: of the states that they read, 0 without."""

    labels: tuple[str, ...]
    weights: tuple[AnswerWeights, ...] = field(repr=False)
    scale: StateScale = field(repr=False)
    prior: TransferPrior | None = field(repr=False)
    dense: float
    longest: int
    memory: AnswerMemory = field(repr=False)
    rules: ShowRules = field(default_factory=ShowRules)
    calibration: SpanCalibration = field(default_factory=SpanCalibration)
    text_calibration: SpanCalibration = field(default_factory=SpanCalibration)
    details: SpanDetails = field(default_factory=SpanDetails)

    def spans(self, texts: Sequence[AskedText], aim: str = CLICKS) -> list[Suggestions]:
        """What to show of each passage."""
        return self.suggest(texts, self.best(texts), aim)

    def best(self, texts: Sequence[AskedText]) -> list[list[BestAnswer]]:
        """The likeliest answer with each label, not calibrated; nothing of a passage without words."""
        return [own for part in in_portions(texts) for own in self._best(part)]

    def _best(self, texts: Sequence[AskedText]) -> list[list[BestAnswer]]:
        questions = self.put_together(texts)
        shares = [questions.band.shares(*questions.scores(weights)) for weights in self.weights]
        return pick_best(questions.band, self.labels, shares)

    def put_together(self, texts: Sequence[AskedText]) -> Questions:
        """As the weights read them."""
        return put_together(texts, self.scale, self.prior, self.memory, self.dense, self.longest)

    def suggest(
        self, texts: Sequence[AskedText], found: Sequence[Sequence[BestAnswer]], aim: str = CLICKS
    ) -> list[Suggestions]:
        """What to show of each passage, by its likeliest answers."""
        threshold = self.rules.of(aim)
        return [self._suggest(text, own, threshold) for text, own in zip(texts, found, strict=True)]

    def _suggest(self, text: AskedText, found: Sequence[BestAnswer], threshold: float) -> Suggestions:
        spans, right = [], 1.0
        for own in found:
            score = self.honest(own.probability)
            is_shown = score >= threshold and own.probability > own.none
            right *= own.probability if is_shown else own.none
            if is_shown:
                place = to_characters(text.passage.bounds, own.span)
                spans.append(ScoredSpan(place.start, place.end, place.label, score, give_reason(text, own.span)))
        sure = float(self.text_calibration.sigmoid(np.array(max(right, LEAST_RIGHT))))
        doubt = sum(own.doubt for own in found) / (OPENING_WORDS + len(text.passage.bounds))
        expected = sum(1 - own.none for own in found)
        return Suggestions(tuple(sorted(spans, key=lambda one: (one.start, one.end, one.label))), sure, doubt, expected)

    def honest(self, probability: float) -> float:
        """A probability, calibrated."""
        return float(self.calibration.sigmoid(np.array(probability)))

    def config(self) -> QuestionHeadJson:
        """Everything but the arrays, as `restore_question_head` reads it."""
        return {
            "kind": KIND,
            "format": FORMAT,
            "labels": list(self.labels),
            "prior": self.prior.name if self.prior is not None else "",
            "dense": self.dense,
            "longest": self.longest,
            "rules": {"clicks": self.rules.clicks, "f1": self.rules.f1},
            "calibration": self.calibration.to_json(),
            "text_calibration": self.text_calibration.to_json(),
            "details": self.details.to_json(),
        }

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """Arrays by name."""
        arrays: dict[str, NDArray[np.generic]] = {"scale.mean": self.scale.mean, "scale.spread": self.scale.spread}
        arrays |= self.memory.tensors()
        for place, own in enumerate(self.weights):
            arrays |= {f"weights.{place}.{name}": array for name, array in own.arrays().items()}
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def restore_question_head(
    config: QuestionHeadJson, tensors: Mapping[str, NDArray[np.generic]], prior: TransferPrior | None
) -> QuestionHead:
    """The head that `config()` and `tensors()` describe. Raises VersionError where they do not, or for another prior
    than it was fitted with."""
    try:
        wanted = str(config["prior"])
        if wanted and (prior is None or prior.name != wanted):
            raise VersionError(
                "the head for questions was fitted with a transfer prior that is not there", prior=wanted
            )
        arrays = {name: array.astype(np.float32, copy=False) for name, array in tensors.items()}
        labels = tuple(config["labels"])
        weights = tuple(
            AnswerWeights(*(arrays[f"weights.{place}.{part}"] for part in ("words", "states", "lengths", "none")))
            for place in range(len(labels))
        )
        if any(own.words.shape[0] != len(COLUMNS) or len(own.none) != len(NONE_COLUMNS) for own in weights):
            raise ValueError("its columns are others")
        return QuestionHead(
            labels,
            weights,
            StateScale(arrays["scale.mean"], arrays["scale.spread"]),
            prior if wanted else None,
            float(config["dense"]),
            int(config["longest"]),
            restore_memory(tensors),
            ShowRules(**config["rules"]),
            SpanCalibration(**config["calibration"]),
            SpanCalibration(**config["text_calibration"]),
            SpanDetails(**config["details"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise VersionError(f"not a head for questions: {error}") from error


def give_reason(text: AskedText, span: WordSpan) -> str:
    """What speaks for an answer, in words: what the question asks for, and which of its words stand in the answer's
    sentence."""
    sentences = find_sentences(text.passage)
    sentence = sentences.of[span.first]
    around = {
        word.lower()
        for word, own in zip(text.passage.words, sentences.of, strict=True)
        if own == sentence and word.lower() not in STOP_WORDS and word[0].isalnum()
    }
    shared = [word for word in dict.fromkeys(text.question.words) if word.lower() in around]
    parts = [f"asked for: {text.type.asked}"] if text.type.asked else []
    parts.append(f"its sentence has {', '.join(shared[:MOST_NAMED])}" if shared else "by its sentence's meaning")
    return "; ".join(parts)


def pick_best(band: Band, labels: Sequence[str], shares: Sequence[tuple[Floats32, Floats32]]) -> list[list[BestAnswer]]:
    """The likeliest answer of each passage with each label, whose candidates and none have these probabilities; nothing
    of a passage without words."""
    found: list[list[BestAnswer]] = [[] for _ in band.ends]
    for label, (likely, nothing) in zip(labels, shares, strict=True):
        for place, (start, end) in enumerate(zip(band.starts, band.ends, strict=True)):
            if start == end:
                continue
            own = likely[start:end]
            first, further = divmod(int(own.argmax()), own.shape[1])
            span = WordSpan(first, first + further, label)
            found[place].append(BestAnswer(span, float(own[first, further]), float(nothing[place])))
    return found


def in_portions(texts: Sequence[AskedText]) -> Iterator[list[AskedText]]:
    """So many that their candidates fit side by side."""
    return portions(texts, lambda own: len(own.passage.bounds), texts=PORTION_TEXTS, characters=PORTION_WORDS)
