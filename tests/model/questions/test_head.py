"""The head for questions: what it says cold, what answers teach it, and whatever it is asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.encoder.encoder import Encoder
from model.errors import VersionError
from model.features.varied_cache import VariedCache
from model.questions.asked import AnsweredText, AskedText
from model.questions.fit import QuestionBasis, cold_question_head, fit_question_head
from model.questions.head import QuestionHead, restore_question_head
from model.questions.question_type import find_type
from model.questions.reading import QuestionReader
from model.span import Span
from model.spans.features.feature_space import StateScale
from model.spans.features.reading import SpanReader
from model.spans.transfer.prior import read_prior
from tests.support.questions import Asked, asked


@pytest.fixture(scope="module")
def reader(minilm: Encoder, tmp_path_factory: pytest.TempPathFactory) -> QuestionReader:
    """No text is read twice."""
    return QuestionReader(SpanReader(minilm, read_prior(), VariedCache(tmp_path_factory.mktemp("words"), 256)))


def examples(reader: QuestionReader, questions: list[Asked]) -> list[AnsweredText]:
    read = reader.read([(one.text, one.question) for one in questions])
    return [
        AnsweredText(text, (Span(*one.answer, "Answer"),) if one.answer else ())
        for text, one in zip(read, questions, strict=True)
    ]


@pytest.fixture(scope="module")
def basis(reader: QuestionReader) -> QuestionBasis:
    read = reader.read([(one.text, one.question) for one in asked(32)])
    scale = StateScale.measure([one.passage for one in read], reader.words.width)
    return QuestionBasis(("Answer",), scale, reader.words.prior)


@pytest.fixture(scope="module")
def head(reader: QuestionReader, basis: QuestionBasis) -> QuestionHead:
    return fit_question_head(basis, examples(reader, asked(48)))


def right(head: QuestionHead, texts: list[AnsweredText]) -> int:
    found = head.spans([one.asked for one in texts])
    return sum({span.span for span in own.spans} == set(one.spans) for own, one in zip(found, texts, strict=True))


def test_answers_teach_and_held_out_figures_come_with_them(reader: QuestionReader, head: QuestionHead) -> None:
    assert head.details.texts == head.details.used == head.details.cold == 48
    assert head.details.held_out["f1"] > 0.5 and head.details.held_out["saved"] > 0.3
    assert right(head, examples(reader, asked(40, 400))) >= 30


def test_before_any_answer_only_what_is_sure_is_said(reader: QuestionReader, basis: QuestionBasis) -> None:
    cold, texts = cold_question_head(basis), examples(reader, asked(40, 400))
    shown = [own for one in cold.spans([text.asked for text in texts]) for own in one.spans]
    assert all(own.score >= 0.7 for own in shown)
    drawn = {span for text in texts for span in text.spans}
    assert sum(own.span not in drawn for own in shown) <= max(1, len(shown) // 3)
    assert fit_question_head(basis, []).weights == cold.weights


def test_scores_say_how_often_they_are_right(reader: QuestionReader, head: QuestionHead) -> None:
    texts = examples(reader, asked(80, 800))
    found = head.spans([one.asked for one in texts])
    hits = [{span.span for span in own.spans} == set(one.spans) for own, one in zip(found, texts, strict=True)]
    assert abs(np.mean([own.score for own in found]) - np.mean(hits)) < 0.25
    assert all(0 < own.score <= 1 and own.uncertainty >= 0 for own in found)


def test_it_comes_back_from_json_and_arrays(reader: QuestionReader, head: QuestionHead) -> None:
    again = restore_question_head(head.config(), head.tensors(), head.prior)
    texts = [one.asked for one in examples(reader, asked(12, 300))]
    assert again.spans(texts) == head.spans(texts)
    with pytest.raises(VersionError):
        restore_question_head(head.config(), head.tensors(), None)
    with pytest.raises(VersionError):
        restore_question_head(head.config(), {}, head.prior)


def test_the_same_answers_give_the_same_head(reader: QuestionReader, basis: QuestionBasis, head: QuestionHead) -> None:
    again = fit_question_head(basis, examples(reader, asked(48)))
    assert np.array_equal(again.weights[0].flat, head.weights[0].flat) and again.config() == head.config()


def test_without_a_prior_it_learns_too(minilm: Encoder, basis: QuestionBasis) -> None:
    plain = QuestionReader(SpanReader(minilm))
    texts = examples(plain, asked(48))
    head = fit_question_head(replace(basis, prior=None), texts)
    assert right(head, examples(plain, asked(40, 400))) >= 24


def test_each_label_has_an_answer_of_its_own(reader: QuestionReader, basis: QuestionBasis) -> None:
    texts = [
        replace(one, spans=tuple(s for span in one.spans for s in (span, Span(span.start, span.end, "Long"))))
        for one in examples(reader, asked(32))
    ]
    head = fit_question_head(replace(basis, labels=("Answer", "Long")), texts)
    for own in head.spans([one.asked for one in texts]):
        assert len({span.label for span in own.spans}) == len(own.spans) <= 2


@pytest.mark.parametrize(
    ("question", "kind", "name"),
    [
        ("Who built the mill?", "who", "person"),
        ("In which year was it built?", "when", "date"),
        ("Where is it?", "where", "location"),
        ("How many rooms are there?", "number", "number"),
        ("How did he do it?", "how", ""),
        ("What is the name of the river?", "which", "river"),
        ("Which chemical is mentioned?", "which", "chemical"),
        ("What did he invent?", "which", ""),
        ("Is it true?", "whether", ""),
        ("Wer war das?", "other", ""),
        ("", "other", ""),
    ],
)
def test_what_a_question_asks_for(question: str, kind: str, name: str) -> None:
    found = find_type(question.replace("?", " ?").split())
    assert (found.kind, found.name) == (kind, name)


ODD = st.text(alphabet=st.sampled_from("aB1 .?!\n\t\u200b\u202e😀👩‍👧é\u0301שقा中ー«»\"'-\r\u2028"), max_size=120)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=ODD, passage=ODD)
def test_whatever_is_asked_of_whatever_text(
    reader: QuestionReader, head: QuestionHead, question: str, passage: str
) -> None:
    (text,) = reader.read([(passage, question)])
    assert isinstance(text, AskedText)
    for own in (*head.spans([text]), *head.spans([text], "f1")):
        assert len(own.spans) <= 1 and 0 < own.score <= 1 and np.isfinite(own.uncertainty)
        for span in own.spans:
            assert 0 <= span.start < span.end <= len(passage) and 0 < span.score <= 1


def test_a_passage_of_400_kb_is_answered_in_bounded_memory(head: QuestionHead) -> None:
    """Its words are given zeros for states: reading them is the encoder's business."""
    from model.questions.question_type import QuestionType
    from model.spans.features.reading import ReadText
    from model.spans.words import find_words

    def read(text: str) -> ReadText:
        bounds = find_words(text)
        width = len(head.scale.mean)
        hidden = head.prior.hidden_width if head.prior else 0
        return ReadText(
            text, bounds, np.zeros((len(bounds), width), np.float16), np.zeros((len(bounds), hidden), np.float16)
        )

    long = "The mill stands by the old river. " * 12_000
    question = read("Who built the mill?")
    text = AskedText(question, read(long), QuestionType("who", "person"), np.zeros(384, np.float32))
    (found,) = head.spans([text])
    assert 0 < found.score <= 1
