"""Questions of a training that are held out, and what head and fine-tuned encoder answered there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray

from model.encoder.encoder import Encoder
from model.numerics.holdout import is_held_out
from model.questions.asked import AnsweredText, TaughtWords
from model.questions.fit import QuestionBasis, fit_uncalibrated, longest_answer
from model.questions.head import QuestionHead
from model.questions.held_out import HeldOut, calibrate_head
from model.questions.reading import QuestionReader
from model.questions.tuned_answers import AnswerScorer, TunedAnswers, mix_answers
from model.span import Span, SpanSample
from model.spans.features.reading import SpanReader
from model.spans.head.held_out import fold_texts
from model.spec import Control, Json
from model.training.marks.blend_evidence import AROUND, BlendEvidence, Earned, Side, edits_of
from model.training.marks.marked_task import MarkedTask
from model.training.questions.asked_set import AskedSet
from model.training.questions.asked_task import AskedTask
from model.training.recipe import DEFAULT_RECIPE
from model.versions.span_answers import SpanTools, question_lesson

FoundJson = Sequence[Sequence[Sequence[float]]]
"""Of each question for each label the score of no answer, then those of the words as first and last."""


@dataclass(frozen=True)
class AskedRows:
    """All questions of one control whose passages have words, and their split: part of each, -1 for those always
    trained on. All questions about one passage are in one part."""

    control: Control
    basis: QuestionBasis
    examples: list[AnsweredText]
    parts: NDArray[np.int64]
    start: tuple[NDArray[np.float32], NDArray[np.float32]] | None = field(default=None, repr=False)
    _heads: dict[int | None, QuestionHead] = field(default_factory=dict, repr=False)

    @property
    def texts(self) -> int:
        """How many different questions there are."""
        return len({example.asked.key for example in self.examples})

    def but(self, part: int | None) -> list[AnsweredText]:
        """The questions that are learned while those of `part` are held out."""
        return [example for example, own in zip(self.examples, self.parts, strict=True) if own != part]

    def of(self, part: int) -> list[AnsweredText]:
        """The questions of a part."""
        return [example for example, own in zip(self.examples, self.parts, strict=True) if own == part]

    def head(self, part: int | None) -> QuestionHead:
        """Fitted to the questions that are learned while those of `part` are held out; once a part."""
        if part not in self._heads:
            self._heads[part] = fit_uncalibrated(self.basis, self.but(part))
        return self._heads[part]

    def teaches(self, part: int | None) -> bool:
        """Whether anything is answered in the passages that are learned then."""
        return any(example.spans for example in self.but(part))

    def steps(self, part: int) -> int:
        """Optimiser steps that these questions call for."""
        return DEFAULT_RECIPE.asked_steps_for(self.texts)

    def lesson(self, part: int | None) -> AskedSet:
        """What is learned while the questions of `part` are held out."""
        return self._set(self.but(part))

    def held(self, part: int) -> AskedSet | None:
        """The questions of a part."""
        return self._set(self.of(part)) if self.of(part) else None

    def said(self, task: MarkedTask | AskedTask, encoder: Encoder, part: int) -> FoundJson:
        """What the encoder, which was fine-tuned on the other questions, says of those of a part."""
        reader, texts = QuestionReader(SpanReader(encoder)), [example.asked for example in self.of(part)]
        found = reader.read_tuned(encoder, scorer_of(task).heads, texts)
        return [[[own.none, *own.scores.ravel().tolist()] for own in row] for row in found]

    def earned(self, task: MarkedTask | AskedTask, part: int | None, earned: Earned) -> TunedAnswers:
        """What is served of an encoder that was trained on all questions but those of `part`."""
        own = earned.shown
        return TunedAnswers(
            scorer_of(task), earned.weight, self.texts, own.calibration, own.text_calibration, own.rules
        )

    def evidence(self) -> AskedEvidence:
        """To be filled."""
        return AskedEvidence(self)

    def _set(self, examples: Sequence[AnsweredText]) -> AskedSet:
        labels = self.basis.labels
        return AskedSet(
            self.control.name,
            labels,
            [(one.asked.passage.text, one.asked.question.text) for one in examples],
            [[one.answers(label) for label in labels] for one in examples],
            [one.weight for one in examples],
            longest_answer(self.examples),
            self.start,
        )


def split_questions(control: Control, samples: Sequence[SpanSample], tools: SpanTools) -> AskedRows | None:
    """The questions of a control and their split; None where nothing is answered, or there is one passage only."""
    basis, examples = question_lesson(control, samples, tools)
    examples = [one for one in examples if one.asked.passage.bounds]
    passages = [one.asked.passage.text for one in examples]
    if len(set(passages)) < 2 or not any(one.spans for one in examples):
        return None
    if len({one.asked.key for one in examples}) < DEFAULT_RECIPE.hold_out_from:
        parts = fold_texts(passages, DEFAULT_RECIPE.folds)
    else:
        sure = {sample.text for sample in samples if sample.ground_truth}  # the surest evidence there is
        parts = np.array([0 if text in sure or is_held_out((text,)) else -1 for text in passages])
    own = tools.reader.encoder.answering if isinstance(tools.reader.encoder, Encoder) else None
    return AskedRows(control, basis, examples, parts, None if own is None else (own.weight, own.bias))


def scorer_of(task: MarkedTask | AskedTask) -> AnswerScorer:
    """Its heads as they are now."""
    assert isinstance(task, AskedTask)
    return task.scorer()


class AskedEvidence(BlendEvidence):
    """What head and fine-tuned encoder answered to held-out questions of one control."""

    weights = (0.0, 0.3, 0.5, 0.8)

    def __init__(self, rows: AskedRows) -> None:
        self.rows = rows
        self._parts: list[tuple[int, list[list[TaughtWords]]]] = []

    def add(self, part: int, said: Json) -> None:
        """The questions of a part, by a fine-tuned encoder that has not seen them."""
        found = [
            [TaughtWords(np.array(own[1:], np.float32).reshape(-1, 2), float(own[0])) for own in row]
            for row in cast("FoundJson", said)
        ]
        self._parts.append((part, found))

    @property
    def examples(self) -> list[AnsweredText]:
        """Those so far."""
        return [example for part, _ in self._parts for example in self.rows.of(part)]

    @property
    def labels(self) -> Sequence[str]:
        return self.rows.basis.labels

    @property
    def drawn(self) -> Sequence[Collection[Span]]:
        return [frozenset(example.spans) for example in self.examples]

    @property
    def texts(self) -> Sequence[str]:
        return [example.asked.passage.text for example in self.examples]

    def side(self, weight: float) -> Side:
        held = HeldOut()
        scorer = AnswerScorer(self.rows.basis.labels, ())
        for part, said in self._parts:
            own, head = self.rows.of(part), self.rows.head(part)
            asked = [example.asked for example in own]
            held = held.add(own, mix_answers(head, scorer, asked, said, weight))
        head = calibrate_head(self.rows.head(self._parts[-1][0]), held)
        drawn = self.drawn
        shown = [held.shown(head, head.rules.clicks + step) for step in AROUND]
        spent = np.mean([edits_of(own, drawn) for own in shown], axis=0)
        return Side(spent, held.shown(head, head.rules.clicks), head, head.details.held_out)
