"""Questions replayed: the product's own head, and a fine-tune as the trainer gives it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from model.encoder.encoder import Encoder
from model.simulation.replay import ReplayPlan, Tuned
from model.simulation.span_dataset import SpanDataset, make_span_dataset
from model.simulation.span_replay import CONTROL, QuestionReplay, SpanReplay, replay_of
from model.span import Span, SpanDocument, SpanSamples
from model.spans.features.reading import SpanReader
from model.spans.transfer.prior import read_prior
from model.spec import TaskSpec
from model.versions.span_answers import SpanTools
from tests.support.questions import Asked, asked


@pytest.fixture(scope="module")
def tools(minilm: Encoder) -> SpanTools:
    return SpanTools(SpanReader(minilm, read_prior()))


def documents(questions: Sequence[Asked]) -> list[SpanDocument]:
    return [
        SpanDocument(one.text, (Span(*one.answer, "Answer"),) if one.answer else (), one.question) for one in questions
    ]


@pytest.fixture(scope="module")
def data() -> SpanDataset:
    return make_span_dataset(documents(asked(60)), documents(asked(16, 400)), "x")


class Refusing:
    """A trainer whose challengers are refused."""

    def __init__(self) -> None:
        self.seen: list[tuple[TaskSpec, SpanSamples]] = []

    def why_marked_due(self, texts: int, trained: int | None) -> str:
        return "asked" if texts >= 24 and trained is None else ""

    def tune_marks(self, spec: TaskSpec, samples: SpanSamples, pool: Sequence[dict[str, str]], seed: int) -> Tuned:
        self.seen.append((spec, samples))
        return Tuned(None, "cannot tell", 1.5)


def test_answers_are_learned_and_what_is_due_is_tuned(tools: SpanTools, data: SpanDataset) -> None:
    trainer = Refusing()
    replay = replay_of(data, ReplayPlan((0, 16, 24), seed=1), tools, trainer=trainer)
    assert isinstance(replay, QuestionReplay)
    rows = list(replay.rows())
    assert [row["method"] for row in rows] == ["starting weights", "question head", "question head"]
    assert [row["finetune"] for row in rows] == ["", "", "cannot tell"] and rows[2]["finetune_seconds"] == 1.5
    assert float(rows[2]["f1"] or 0) > float(rows[0]["f1"] or 0) and float(rows[2]["saved"] or 0) > 0.2
    (spec, samples), *others = trainer.seen
    assert not others and spec.control(CONTROL).question == "question"
    assert all(sample.question for sample in samples[CONTROL]) and len(samples[CONTROL]) == 24


def test_doubtful_questions_are_chosen(tools: SpanTools, data: SpanDataset) -> None:
    replay = replay_of(data, ReplayPlan((4, 8), "margin", seed=1, pool=20, batch=4), tools)
    rows = list(replay.rows())
    assert len(set(replay.chosen)) == 8 and rows[1]["n"] == 8


def test_any_of_several_answers_is_right(tools: SpanTools) -> None:
    several = [
        SpanDocument(one.text, (Span(0, 3, "Answer"), *one.spans), one.question) if one.spans else one
        for one in documents(asked(40))
    ]
    (row,) = replay_of(make_span_dataset(several, several[:12], "x"), ReplayPlan((28,)), tools).rows()
    assert float(row["f1"] or 0) > 0.6, "one of them is enough"


def test_texts_that_ask_nothing_are_replayed_as_ever(tools: SpanTools) -> None:
    plain = [SpanDocument(one.text, one.spans) for one in documents(asked(20))]
    assert isinstance(replay_of(make_span_dataset(plain, plain[:4], "x"), ReplayPlan((4,)), tools), SpanReplay)
