"""Projects that mark text: from records to versions and answers, on a real store with the real encoder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from backend.application.learning_curve import describe_curve
from backend.cli.render import render_learning_curve
from backend.jobs.learn.refit import refit, refit_anew
from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.span_answers import with_spans
from backend.labelstudio.task_spec import parse_label_config
from backend.serving.fallback_model import adapt
from model.evidence.row import EvidenceRow
from model.span import Span, SpanDocument
from model.versions.directory import read_manifest, version_path
from model.versions.live_model import LiveModel, load_version
from tests.support.marking import MARKS, MIXED, PROJECT, Marks, mark, sentences, topic_of


def live(context: Any) -> LiveModel:
    found: LiveModel = context.live_model(PROJECT, context.stores.versions.live(PROJECT))
    return found


def loaded(context: Any) -> LiveModel:
    """The live version as any other process has it."""
    encoders, name = context.encoders, context.stores.versions.live(PROJECT)
    return load_version(context.settings.models_dir, PROJECT, name, encoders.base, encoders.open, encoders.span_tools)


def marked(model: LiveModel, text: str) -> dict[tuple[str, str], float]:
    """(characters, label) -> score of what is suggested in a text."""
    (answer,) = model.mark("label", [{"text.page": text}])
    return {(text[one.start : one.end], one.label): one.score for one in answer.spans}


def hits(model: LiveModel, documents: list[SpanDocument]) -> float:
    """Share of the spans that are suggested just so."""
    found = wanted = 0
    for document in documents:
        (answer,) = model.mark("label", [{"text.page": document.text}])
        found += len({one.span for one in answer.spans} & set(document.spans))
        wanted += len(document.spans)
    return found / wanted


def test_marks_become_a_published_version_that_any_process_answers_alike(context: Any) -> None:
    marks = Marks(context)
    marks.add(sentences(24))
    assert refit(PROJECT) == "published"
    assert context.stores.versions.live(PROJECT) == "v0.1" and context.stores.examples.pending(PROJECT) == 0
    assert refit(PROJECT) == "unchanged"
    manifest = read_manifest(version_path(context.settings.models_dir, PROJECT, "v0.1"))
    assert manifest.labels_seen == {"label": 24} and set(manifest.metrics) == {"label", "pool"}
    assert manifest.spec["controls"] == [] and len(manifest.spec["spans"]) == 1
    here, there = live(context), loaded(context)
    texts = [{"text.page": document.text} for document in sentences(40, 100)]
    assert here is not there and here.predict(texts) == there.predict(texts)
    assert hits(there, sentences(24, 200)) > 0.8
    assert there.predict([{}]) == [[]], "nothing to read"


def test_a_project_without_marks_is_left_alone(context: Any) -> None:
    Marks(context)
    assert refit(PROJECT) == "unchanged" and context.stores.versions.live(PROJECT) is None


def test_a_string_is_free_the_second_time_and_stays_away_once_it_was_removed(context: Any) -> None:
    marks = Marks(context)
    marks.add([*sentences(12), mark("We signed with Quorvex Tamblin in May.", ("Quorvex Tamblin", "LOC"))])
    refit(PROJECT)
    asked = "Nobody had heard of Quorvex Tamblin before."
    assert ("Quorvex Tamblin", "LOC") in marked(live(context), asked)
    (answer,) = live(context).mark("label", [{"text.page": asked}])
    assert "seen once as LOC" in next(one.reason for one in answer.spans if one.label == "LOC")
    start = asked.index("Quorvex")
    gone = replace(marks.record(SpanDocument(asked), marks.count), removed={"label": [(start, start + 15, "LOC")]})
    marks.put([gone])
    for text in (asked, "Again we wrote to Quorvex Tamblin.", "Quorvex Tamblin it was."):
        assert refit(PROJECT) in ("published", "unchanged")
        assert ("Quorvex Tamblin", "LOC") not in marked(live(context), text)
        assert ("Quorvex Tamblin", "LOC") not in marked(loaded(context), text)
    more = [mark(f"On day {day} Quorvex Tamblin won.", ("Quorvex Tamblin", "LOC")) for day in range(4)]
    marks.count += 1
    marks.add(more)
    refit(PROJECT)
    assert ("Quorvex Tamblin", "LOC") in marked(live(context), "Again we wrote to Quorvex Tamblin."), "drawn by hand"


def test_from_64_texts_on_a_head_goes_on_from_the_one_before_on_the_same_scale(context: Any) -> None:
    marks = Marks(context)
    marks.add(sentences(70))
    refit(PROJECT)
    first = live(context).span_heads["label"]
    assert (first.details.texts, first.details.cold) == (70, 70)
    marks.add([mark("Then Zelda Quint came.", ("Zelda Quint", "PER")), *sentences(2, 100)])
    refit(PROJECT)
    second = live(context).span_heads["label"]
    assert (second.details.texts, second.details.cold) == (73, 70), "a warm fit"
    assert np.array_equal(first.space.scale.mean, second.space.scale.mean)
    assert np.array_equal(first.space.scale.spread, second.space.scale.spread)
    assert ("Zelda Quint", "PER") in marked(loaded(context), "It was Zelda Quint.")
    texts = [{"text.page": document.text} for document in sentences(20, 300)]
    assert live(context).predict(texts) == loaded(context).predict(texts)
    # A process that was started since has read the version from its files: its fits are warm as well.
    context._live.clear()
    marks.add(sentences(1, 150))
    refit(PROJECT)
    assert live(context).span_heads["label"].details.cold == 70
    marks.add(sentences(20, 160))
    refit(PROJECT)
    assert live(context).span_heads["label"].details.cold == 94, "a quarter more: from nothing"


def test_a_head_search_takes_nothing_over(context: Any) -> None:
    marks = Marks(context)
    marks.add(sentences(70))
    refit(PROJECT)
    marks.add(sentences(2, 100))
    assert refit_anew(context, PROJECT) == "published"
    assert live(context).span_heads["label"].details.cold == 72


def test_choices_and_marks_are_learned_side_by_side(context: Any) -> None:
    marks = Marks(context, MIXED)
    marks.add(sentences(32))
    assert refit(PROJECT) == "published"
    manifest = read_manifest(version_path(context.settings.models_dir, PROJECT, "v0.1"))
    assert manifest.labels_seen == {"topic": 32, "label": 32}
    assert {"topic", "label"} <= set(manifest.metrics)
    here, there = live(context), loaded(context)
    documents = sentences(16, 100)
    texts = [{"text": one.text, "text.page": one.text} for one in documents]
    assert here.predict(texts) == there.predict(texts)
    answers = [{one.control: one for one in found} for found in there.predict(texts)]
    assert (
        sum(answer["topic"].chosen == (topic_of(one.text),) for answer, one in zip(answers, documents, strict=True))
        > 12
    )
    assert hits(there, documents) > 0.8
    only = there.predict([{"text": documents[0].text}, {"text.page": documents[0].text}])
    assert [[one.control for one in found] for found in only] == [["topic"], ["label"]]


def test_one_of_both_may_be_answered_alone(context: Any) -> None:
    marks = Marks(context, MIXED)
    records = [marks.record(one, number) for number, one in enumerate(sentences(32))]
    marks.put([replace(one, spans={}) if one.task % 2 else replace(one, targets={}) for one in records])
    assert refit(PROJECT) == "published"
    manifest = read_manifest(version_path(context.settings.models_dir, PROJECT, "v0.1"))
    assert manifest.labels_seen == {"topic": 16, "label": 16}


def test_a_label_that_is_new_in_the_config_is_learned_and_one_that_is_gone_is_not_answered(context: Any) -> None:
    marks = Marks(context)
    marks.add(sentences(24))
    refit(PROJECT)
    before, base = live(context), context.encoders.base
    wider = MARKS.replace("</Labels>", '<Label value="DAY"/></Labels>')
    spec = parse_label_config(wider)
    meanwhile = adapt(before, spec, base, context.encoders.span_tools)
    assert hits(meanwhile, sentences(12, 100)) > 0.8, "until the refit the head answers as it was"
    context.stores.projects.save_config(PROJECT, wider)
    days = [mark(f"We met on {day} at noon.", (day, "DAY")) for day in ("Monday", "Tuesday", "Friday", "Sunday")]
    marks.add([*days, *days])
    assert refit(PROJECT) == "published"
    assert set(live(context).span_heads["label"].labels) == {"PER", "LOC", "DAY"}
    assert ("Friday", "DAY") in marked(loaded(context), "They came on Friday at noon.")
    fewer = parse_label_config(MARKS.replace('<Label value="LOC"/>', ""))
    context.stores.projects.save_config(PROJECT, fewer.source)
    meanwhile = adapt(live(context), fewer, base, context.encoders.span_tools)
    text = sentences(1, 100)[0].text
    result, sent, dropped = with_spans(fewer, {"text": text}, meanwhile.predict([{"text.page": text}])[0], "v1", [])
    assert dropped == {} and {one.label for one in sent} == {"PER"} and len(result) == len(sent)
    assert refit(PROJECT) == "published"
    assert set(live(context).span_heads["label"].labels) == {"PER"}
    quarantined = context.stores.projects.summary(PROJECT)["quarantined"]["label"]
    assert quarantined["LOC"] > 10 and quarantined["DAY"] == 8


def test_labels_of_the_tasks_themselves_are_learned(context: Any) -> None:
    config = '<View><Labels name="label" toName="text" value="$opts"/><Text name="text" value="$text"/></View>'
    marks = Marks(context, config)
    marks.add(sentences(24))
    assert refit(PROJECT) == "published"
    assert hits(loaded(context), sentences(12, 100)) > 0.7


def admin(client: Any, method: str, path: str, body: Any = None) -> Any:
    """The reply of the admin API."""
    headers = {"Authorization": "Bearer admin"}
    reply = getattr(client, method)(f"/admin/projects/{PROJECT}{path}", json=body, headers=headers)
    assert reply.status_code == 200, reply.text
    return reply.get_json()


def test_a_pinned_version_stays_until_it_is_released(context: Any, services: Any, client: Any) -> None:
    marks = Marks(context)
    marks.add(sentences(16))
    refit(PROJECT)
    marks.add(sentences(16, 16))
    refit(PROJECT)
    assert context.stores.versions.live(PROJECT) == "v0.2"
    assert admin(client, "post", "/rollback", {"version": "v0.1"})["live"] == "v0.1"
    eventually(lambda: services.registry.version_of(PROJECT) == "v0.1")
    model = services.registry.model_for(PROJECT, parse_label_config(MARKS), 5.0)
    assert model.span_heads["label"].details.texts == 16
    marks.add(sentences(8, 100))
    assert refit(PROJECT) == "pinned"
    admin(client, "post", "/unpin")
    assert refit(PROJECT) == "published"
    assert live(context).span_heads["label"].details.texts == 40


def eventually(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 120
    while not (found := what()):
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)
    return found


def test_what_was_suggested_is_told_before_it_is_learned(context: Any, client: Any) -> None:
    marks = Marks(context)
    marks.add(sentences(24))
    refit(PROJECT)
    marks.add(sentences(16, 100))
    refit(PROJECT)
    rows = context.stores.evidence.rows(PROJECT)
    assert [row.version for row in rows] == ["v0"] * 24 + ["v0.1"] * 16 and all(row.marked for row in rows)
    assert rows[-1].labels == 24 and rows[-1].served is None
    for row in rows:
        assert EvidenceRow.from_json(row.to_json()) == row
        (hits_of, drawn) = sum(right for *_, right in row.marked.shown), len(row.marked.drawn)
        assert row.correct == (hits_of == drawn == len(row.marked.shown))
        assert (row.marked.edits == 0) == row.correct
    told = describe_curve(context.stores.evidence, PROJECT)
    figures = told["recent"]["label"]["marked"]
    assert 0.5 < figures["f1"] <= 1 and set(figures["labels"]) == {"PER", "LOC"} and figures["saved"] <= 1
    assert [point["n"] for point in told["curve"]["label"]] == [24, 16]
    first, last = told["curve"]["label"]
    assert last["f1"] >= first["f1"] and last["saved"] >= first["saved"], "it learns"
    shown = "\n".join(render_learning_curve(told["recent"], told["curve"]))
    assert f"F1 of their spans {figures['f1']:.2f}" in shown and "of the clicks saved" in shown
    project = admin(client, "get", "")
    assert project["metrics"]["label"]["marked"] == figures and project["labels"]["label"]["PER"] > 20
    (example, *_) = admin(client, "get", "/examples")["examples"]
    assert example["spans"]["label"][0].keys() == {"start", "end", "label"} and example["labels"] == {}


def test_people_who_disagree_teach_as_far_as_they_are_believed(context: Any, client: Any) -> None:
    marks = Marks(context)
    records = marks.add(sentences(24))
    others = [replace(one, annotation=one.annotation + 1000, annotator=2) for one in records]
    thirds = [replace(one, annotation=one.annotation + 2000, annotator=3, spans={"label": []}) for one in records]
    marks.put([*others, *thirds])
    assert refit(PROJECT) == "published"
    assert hits(loaded(context), sentences(12, 100)) > 0.8, "two against one who never marks"
    told = admin(client, "get", "")
    people = told["annotators"]["label"]
    assert people["1"]["reliability"] > people["3"]["reliability"] and people["3"]["labels"] == 24
    assert len(told["disagreements"]["label"]) == 18, "where there is anything to mark"


def test_records_that_teach_nothing_or_too_little_are_no_fault(context: Any) -> None:
    marks = Marks(context)
    marks.put([ExampleRecord(1, 1, {}, {}, "2026-01-01T00:00:00Z", 1)])
    assert refit(PROJECT) in ("published", "unchanged")
    marks.put([ExampleRecord(2, 2, {"text.page": ""}, {}, "2026-01-01T00:00:01Z", 1, spans={"label": []})])
    assert refit(PROJECT) in ("published", "unchanged")
    odd = ["\n", "\ud7ff", "👩‍👩‍👧" * 3, "א" * 40, "東京に行った", "." * 500, "a\0b", "\u200b"]
    marks.put(
        [
            ExampleRecord(
                10 + at, 10 + at, {"text.page": text}, {}, "2026-01-01T00:00:02Z", 1, spans={"label": [(0, 1, "PER")]}
            )
            for at, text in enumerate(odd)
        ]
    )
    assert refit(PROJECT) == "published"
    found = loaded(context).mark("label", [{"text.page": text} for text in ["", *odd]])
    for text, answer in zip(["", *odd], found, strict=True):
        assert all(one.span == Span(one.start, one.end, one.label) and one.end <= len(text) for one in answer.spans)
        assert 0 <= answer.score <= 1 and np.isfinite(answer.score)
