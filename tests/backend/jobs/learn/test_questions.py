"""Projects that ask questions: from records to versions and answers, on a real store with the real encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from backend.jobs.learn.refit import refit
from backend.labelstudio.task_spec import parse_label_config
from backend.serving.fallback_model import adapt
from model.questions.head import QuestionHead
from model.versions.directory import read_manifest, version_path
from model.versions.live_model import LiveModel, load_version
from tests.support.questions import PROJECT, TEMPLATE, Asked, add_answers, asked, record_of


def live(context: Any) -> LiveModel:
    found: LiveModel = context.live_model(PROJECT, context.stores.versions.live(PROJECT))
    return found


def documents(questions: Sequence[Asked]) -> list[dict[str, str]]:
    return [{"text.page": one.text, "question": one.question} for one in questions]


def said(model: LiveModel, questions: Sequence[Asked]) -> list[str]:
    """What is suggested for each question; "" for nothing."""
    answers = model.mark("answer", documents(questions))
    for one in answers:
        assert len(one.spans) <= 1
    return [
        one.text[answer.spans[0].start : answer.spans[0].end] if answer.spans else ""
        for one, answer in zip(questions, answers, strict=True)
    ]


def test_answers_become_a_version_that_answers_and_is_silent_where_nothing_does(context: Any) -> None:
    add_answers(context, asked(48))
    assert refit(PROJECT) == "published"
    manifest = read_manifest(version_path(context.settings.models_dir, PROJECT, "v0.1"))
    assert manifest.labels_seen == {"answer": 48} and {"f1", "saved"} <= set(manifest.metrics["answer"])
    model, later = live(context), asked(40, 400)
    assert isinstance(model.span_heads["answer"], QuestionHead)
    found = said(model, later)
    right = sum(one == question.said for one, question in zip(found, later, strict=True))
    assert right >= 30, list(zip(found, (one.said for one in later), strict=True))
    base, tools = context.encoders.base, context.encoders.span_tools
    loaded = load_version(context.settings.models_dir, PROJECT, "v0.1", base, context.encoders.open, tools)
    assert loaded.predict(documents(later)) == model.predict(documents(later))


def test_a_task_without_its_question_is_not_answered(context: Any) -> None:
    add_answers(context, asked(8))
    refit(PROJECT)
    assert live(context).predict([{"text.page": asked(1)[0].text}]) == [[]]


def test_the_same_passage_with_another_question_is_another_example(context: Any) -> None:
    first, second, *_ = asked(2, 800)
    assert first.text == second.text
    add_answers(context, [*asked(16), first])
    refit(PROJECT)
    rows = context.stores.evidence.rows(PROJECT, 100)
    add_answers(context, [second], first=50)
    refit(PROJECT)
    assert len(context.stores.evidence.rows(PROJECT, 100)) == len(rows) + 1, "a passage that was seen, and not asked so"
    add_answers(context, [second], first=51)
    refit(PROJECT)
    assert len(context.stores.evidence.rows(PROJECT, 100)) == len(rows) + 1, "just the same in another task"


def test_a_record_from_before_its_question_was_read_teaches_nothing(context: Any) -> None:
    add_answers(context, asked(8))
    old = record_of(asked(1, 90)[0], 99)
    context.stores.examples.upsert_many(PROJECT, [replace(old, texts={"text.page": old.texts["text.page"]})])
    assert refit(PROJECT) == "published"
    assert live(context).manifest.labels_seen == {"answer": 8}  # type: ignore[union-attr]


def test_people_who_disagree_are_both_believed_by_half(context: Any) -> None:
    one = asked(1)[0]
    add_answers(context, asked(12))
    context.stores.examples.upsert_many(PROJECT, [replace(record_of(replace(one, answer=None), 1, 2), annotation=70)])
    assert refit(PROJECT) == "published"
    from backend.rules.consensus import reach_consensus

    spec = parse_label_config(TEMPLATE)
    consensus = reach_consensus(spec, context.stores.examples.snapshot(PROJECT).records)
    mine = [sample for sample in consensus.spans["answer"] if sample.task == 1]
    assert sorted(sample.weight for sample in mine) == [0.5, 0.5]
    assert {sample.question for sample in mine} == {one.question}


def test_a_version_of_marks_serves_on_until_questions_are_learned(context: Any) -> None:
    plain = TEMPLATE.replace('name="answer"', 'name="answer" question="no"')
    add_answers(context, asked(24), config=plain)
    assert refit(PROJECT) == "published"
    assert not isinstance(live(context).span_heads["answer"], QuestionHead)
    spec = parse_label_config(TEMPLATE)
    between = adapt(live(context), spec, context.encoders.base, context.encoders.span_tools)
    assert isinstance(between.span_heads["answer"], QuestionHead), "the heads of marks know no questions"
    between.predict(documents(asked(2)))
    context.stores.projects.save_config(PROJECT, TEMPLATE)
    assert refit(PROJECT) == "published"
    assert isinstance(live(context).span_heads["answer"], QuestionHead)


def test_many_answers_go_on_from_the_head_before(context: Any) -> None:
    add_answers(context, asked(72))
    refit(PROJECT)
    add_answers(context, asked(4, 72), first=73)
    refit(PROJECT)
    details = live(context).span_heads["answer"].details
    assert (details.texts, details.used, details.cold) == (76, 76, 72)
    later = asked(24, 600)
    right = sum(one == question.said for one, question in zip(said(live(context), later), later, strict=True))
    assert right >= 18
