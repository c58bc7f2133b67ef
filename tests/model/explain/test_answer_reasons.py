"""Why an answer is given, and why another one is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.encoder.encoder import Encoder
from model.explain.answer_reasons import ANY, SENTENCE, AnswerReasons, group_of
from model.questions.asked import AnsweredText
from model.questions.fit import QuestionBasis, fit_question_head
from model.questions.head import QuestionHead
from model.questions.layout import COLUMNS, NONE_COLUMNS
from model.questions.reading import QuestionReader
from model.span import Span
from model.spans.features.feature_space import StateScale
from model.spans.features.reading import SpanReader
from model.spans.transfer.prior import read_prior
from tests.support.questions import Asked, asked


@pytest.fixture(scope="module")
def questions(minilm: Encoder) -> QuestionReader:
    return QuestionReader(SpanReader(minilm, read_prior()))


@pytest.fixture(scope="module")
def head(questions: QuestionReader) -> QuestionHead:
    answered = asked(40)
    read = questions.read([(one.text, one.question) for one in answered])
    scale = StateScale.measure([one.passage for one in read], questions.words.width)
    basis = QuestionBasis(("Answer",), scale, questions.words.prior)
    spans = [(Span(*one.answer, "Answer"),) if one.answer else () for one in answered]
    return fit_question_head(basis, [AnsweredText(text, own) for text, own in zip(read, spans, strict=True)])


def reasons(questions: QuestionReader, head: QuestionHead, one: Asked) -> AnswerReasons:
    return AnswerReasons(head, questions.read([(one.text, one.question)])[0])


def test_the_groups_add_up_to_the_difference_of_scores(questions: QuestionReader, head: QuestionHead) -> None:
    shown = 0
    for one in asked(24, 400):
        own = reasons(questions, head, one)
        for given in own.suggested.spans:
            shown += 1
            found = own.explain(given.span)
            assert (found.is_shown, found.verdict, found.score) == (True, "likely enough", pytest.approx(given.score))
            assert found.rival is not None and found.contrast is not None
            best = head.best([own.asked])[0][0]
            against = found.rival.probability
            assert found.contrast.difference == pytest.approx(np.log(best.probability) - np.log(against), abs=1e-2)
            assert found.contrast.difference > 0 and found.contrast.features
    assert shown > 10


def test_with_a_fine_tuned_encoder_what_is_shown_and_what_the_head_alone_says_are_told(
    questions: QuestionReader, head: QuestionHead
) -> None:
    one = next(one for one in asked(24, 400) if one.answer)
    alone = reasons(questions, head, one)
    (given,) = alone.suggested.spans
    both = AnswerReasons(head, alone.asked, blended=replace(alone.suggested, spans=(replace(given, score=0.5),)))
    found = both.explain(given.span)
    assert (found.is_shown, found.score, found.without) == (True, 0.5, pytest.approx(given.score))
    assert alone.explain(given.span).without is None
    nothing = AnswerReasons(head, alone.asked, blended=replace(alone.suggested, spans=()))
    assert not nothing.explain(given.span).is_shown


def test_why_not(questions: QuestionReader, head: QuestionHead) -> None:
    one = next(one for one in asked(24, 400) if one.answer)
    own = reasons(questions, head, one)
    given = own.suggested.spans[0].span
    other = Span(given.start, given.start + 1, "Answer")
    found = own.explain(other if other != given else Span(0, 3, "Answer"))
    assert found.span == given or not found.is_shown
    start = Span(0, 3, own.likeliest_label(Span(0, 3, "Answer")))
    found = own.explain(start)
    assert (found.is_shown, found.verdict) == (False, "not likely enough")
    assert found.contrast is not None and found.contrast.difference < 0
    assert found.rival is not None and found.rival.span == given
    far = own.explain(Span(0, len(one.text), "Answer"))
    assert not far.is_shown and (far.contrast is None or far.contrast.difference < 0)
    assert own.explain(Span(0, 3, "Gone")).verdict == "nobody looks for Gone"


def test_a_passage_without_words_has_no_answer_to_explain(questions: QuestionReader, head: QuestionHead) -> None:
    own = AnswerReasons(head, questions.read([(" ", "Who?")])[0])
    assert own.suggested.spans == ()
    assert own.explain(Span(0, 1, "Answer")).verdict == "no word stands there"
    assert own.likeliest_label(Span(0, 1, "")) == "Answer"


def test_every_column_has_a_group() -> None:
    groups = {group_of(name) for name in COLUMNS}
    assert ANY not in groups and SENTENCE in groups
    assert {group_of(name) for name in NONE_COLUMNS} >= {ANY, SENTENCE}
