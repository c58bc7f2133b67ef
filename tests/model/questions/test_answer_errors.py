"""Answers that are probably wrong: of every kind, found, named and put right; what is right is left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.encoder.encoder import Encoder
from model.questions.asked import AnsweredText
from model.questions.fit import QuestionBasis
from model.questions.reading import QuestionReader
from model.span import Span
from model.spans.features.feature_space import StateScale
from model.spans.features.reading import SpanReader
from model.spans.head.label_errors import AnswerErrorKind, ErrorKind, SpanError
from model.spans.transfer.prior import read_prior
from model.versions.answer_errors import find_answer_errors
from tests.support.questions import asked

COUNT = 64
KINDS = {
    4: AnswerErrorKind.ANSWER,
    9: AnswerErrorKind.ANSWER,
    12: ErrorKind.MISSED,
    17: ErrorKind.MISSED,
    23: ErrorKind.SUPERFLUOUS,
    31: ErrorKind.SUPERFLUOUS,
    36: ErrorKind.BOUNDARY,
    40: ErrorKind.BOUNDARY,
}
"""What is wrong with which answer; every fourth question, from the third on, has none."""


@pytest.fixture(scope="module")
def right(minilm: Encoder) -> list[AnsweredText]:
    questions = asked(COUNT)
    read = QuestionReader(SpanReader(minilm, read_prior())).read([(one.text, one.question) for one in questions])
    spans = [(Span(*one.answer, "Answer"),) if one.answer else () for one in questions]
    return [AnsweredText(text, own) for text, own in zip(read, spans, strict=True)]


@pytest.fixture(scope="module")
def basis(minilm: Encoder, right: list[AnsweredText]) -> QuestionBasis:
    reader = QuestionReader(SpanReader(minilm, read_prior()))
    scale = StateScale.measure([one.asked.passage for one in right[:32]], reader.words.width)
    return QuestionBasis(("Answer",), scale, reader.words.prior)


def spoil(one: AnsweredText, kind: ErrorKind | AnswerErrorKind) -> AnsweredText:
    text = one.asked.passage.text
    if kind is ErrorKind.MISSED:
        return replace(one, spans=())
    if kind is ErrorKind.BOUNDARY:
        (span,) = one.spans
        return replace(one, spans=(replace(span, start=text.rindex(" ", 0, span.start - 1) + 1),))
    start = text.index("It rains often")
    return replace(one, spans=(Span(start, start + 8, "Answer"),))


@pytest.fixture(scope="module")
def errors(basis: QuestionBasis, right: list[AnsweredText]) -> list[SpanError]:
    spoilt = [spoil(one, KINDS[place]) if place in KINDS else one for place, one in enumerate(right)]
    found = find_answer_errors(basis, spoilt, [()] * COUNT)
    assert found is not None
    return found


def test_every_kind_of_error_is_found_named_and_put_right(errors: list[SpanError], right: list[AnsweredText]) -> None:
    named = {one.place: one for one in errors if KINDS.get(one.place) is one.kind}
    assert len(named) >= len(KINDS) - 1 and {one.kind for one in named.values()} == set(KINDS.values()), errors
    for place, one in named.items():
        assert (one.suggested,) == right[place].spans if one.suggested else right[place].spans == ()
        assert one.p_suggested > one.p_given
    assert len([one for one in errors if one.place not in KINDS]) <= 3
    assert {one.place for one in errors[: len(KINDS) // 2]} <= set(KINDS)


def test_an_answer_that_was_taken_away_is_not_missed(basis: QuestionBasis, right: list[AnsweredText]) -> None:
    spoilt = [replace(one, spans=()) if place == 12 else one for place, one in enumerate(right)]
    removed = [right[12].spans if place == 12 else () for place in range(COUNT)]
    for taken, is_found in (([()] * COUNT, True), (removed, False)):
        found = find_answer_errors(basis, spoilt, taken)
        assert found is not None
        assert ((12, ErrorKind.MISSED) in [(one.place, one.kind) for one in found]) == is_found


def test_too_few_are_not_searched_and_somebody_who_waits_ends_it(
    basis: QuestionBasis, right: list[AnsweredText]
) -> None:
    assert find_answer_errors(basis, right[:15], [()] * 15) is None
    assert find_answer_errors(basis, right, [()] * COUNT, lambda: False) is None
    turns = iter((True, True, False))
    assert find_answer_errors(basis, right, [()] * COUNT, lambda: next(turns)) is None


def test_odd_answers_harm_nothing(basis: QuestionBasis, right: list[AnsweredText]) -> None:
    """A passage without words, an answer that is longer than any looked for, a label that is none."""
    text = right[0].asked.passage.text
    odd = [
        replace(right[0], asked=replace(right[0].asked, passage=replace(right[0].asked.passage, bounds=[]))),
        replace(right[0], spans=(Span(0, len(text), "Answer"),)),
        replace(right[0], spans=(Span(0, 3, "GONE"),)),
        replace(right[0], spans=(Span(3, 4, "Answer"),)),
    ]
    found = find_answer_errors(basis, [*right[1:40], *odd], [()] * 43)
    assert found is not None and all(one.place != 39 for one in found)
