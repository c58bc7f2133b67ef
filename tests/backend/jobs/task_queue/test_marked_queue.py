"""The queue of a project that marks text: unsure texts first, and regions in the unit that each page counts in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from backend.jobs.learn.refit import refit
from backend.jobs.task_queue.marked_pool import PORTION_TEXTS, read_marked_pool
from backend.jobs.task_queue.plan import plan
from backend.jobs.task_queue.write import steer
from backend.labelstudio.documents import read_document
from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.results import to_prediction
from backend.labelstudio.spans.page import read_pages
from backend.labelstudio.spans.validator import check_result
from backend.labelstudio.task_spec import parse_label_config, span_config_of
from tests.support import studio as studio_stub
from tests.support.marking import MARKS, MIXED, PROJECT, Marks, sentences
from tests.support.queue_studio import Studio
from tests.support.spans import HTML_CONFIG, TURNS_CONFIG


@pytest.fixture
def studio(context: Any) -> Iterator[Studio]:
    server = Studio(context.settings.url)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    secret = {"label_studio_url": server.url, "label_studio_api_key": SecretStr(studio_stub.TOKEN)}
    context.settings = context.settings.model_copy(update={**secret, "queue_size": 16, "queue_seconds": 0.0})
    yield server
    server.shutdown()
    server.server_close()


TEXT = {"text": lambda text: text}
OBJECTS = {
    "Text": (MARKS, lambda text: {"text": f"😀 {text}"}),
    "HyperText": (HTML_CONFIG, lambda text: {"html": f"<div>😀 <i>{escape(text[:9])}</i>{escape(text[9:])}</div>"}),
    "Paragraphs": (TURNS_CONFIG, lambda text: {"dialogue": [{"text": "😀 hello"}, {"text": f"😀 {text}"}]}),
    "mixed": (MIXED, lambda text: {"text": text}),
}
PLAIN = (MARKS, lambda text: {"text": text})


Fill = Callable[[str], dict[int, Any]]


@pytest.fixture
def fill(context: Any, once: Callable[..., None]) -> Fill:
    """24 marked tasks of a kind and 40 others in the pool, as /predict and webhooks bring them; the data of all."""

    def fill(tag: str) -> dict[int, Any]:
        config, data_of = OBJECTS.get(tag, PLAIN)
        found = {number + 1: data_of(one.text) for number, one in enumerate(sentences(64))}
        once(lambda: learn(context, config, found), tag)
        return found

    return fill


def learn(context: Any, config: str, found: dict[int, Any]) -> None:
    spec = parse_label_config(config)
    context.stores.projects.save_config(PROJECT, config)
    documents = {task: read_document(spec, data, 100_000)[0] for task, data in found.items()}
    context.stores.projects.add_pool(PROJECT, documents, 4000)
    name, source = spec.spans[0].name, spec.spans[0].inputs[0]
    records = []
    for number, one in enumerate(sentences(24)):
        document = documents[number + 1]
        shift = document[source].index(one.text)
        rows = [(span.start + shift, span.end + shift, span.label) for span in one.spans]
        targets = {control.name: [[control.keys()[number % 2]]] for control in spec.controls}
        stamp = f"2026-01-01T00:00:{number:02d}Z"
        records.append(
            ExampleRecord(number + 1, number + 1, document, targets, stamp, 1, spans={name: rows})  # type: ignore[arg-type]
        )
    context.stores.examples.upsert_many(PROJECT, records)
    assert refit(PROJECT) == "published"


@pytest.mark.parametrize("tag", OBJECTS)
def test_what_is_planned_is_written_in_the_unit_of_its_page(context: Any, fill: Fill, studio: Studio, tag: str) -> None:
    config, _ = OBJECTS[tag]
    studio.data = fill(tag)
    assert plan(PROJECT) == "planned"
    planned = {entry["task"]: entry for entry in context.stores.task_queue.plan(PROJECT)["entries"]}
    assert planned and all(task > 24 for task in planned), "what is labelled is not asked again"
    assert steer(PROJECT).startswith("steered: understudy queue 1, ")
    written = studio.of("understudy queue 1")
    suggested = context.stores.suggestions.of_tasks(PROJECT, list(written))
    spec, regions = parse_label_config(config), 0
    marking = span_config_of(spec)
    for task, row in written.items():
        pages, reasons = read_pages(marking, studio.data[task])
        assert not reasons and check_result(marking, pages, row["result"]).dropped == {}
        (page,) = pages.values()
        marks = [one for one in row["result"] if one["type"].endswith("labels")]
        places = sorted(page.offsets_of(one["value"]) for one in marks)
        wanted = sorted((start, end) for start, end, *_ in planned[task]["spans"].get(spec.spans[0].name, []))
        assert places == wanted, "as the head said"
        assert [page.text[start:end].strip() for start, end in places] == [page.text[s:e] for s, e in places]
        if planned[task]["role"] == "blind":
            assert not marks
        (known,) = suggested[task].values()
        assert {one.id for one in known} == {one["id"] for one in marks}
        assert all("score" in one and one["meta"]["text"] for one in marks)
        regions += len(marks)
        if tag == "mixed" and planned[task]["role"] != "blind":
            assert row["result"][0]["type"] == "choices"
    assert regions > 5


def test_a_task_whose_data_changed_since_loses_the_regions_and_not_its_place(
    context: Any, fill: Fill, studio: Studio
) -> None:
    studio.data = fill("Text")
    plan(PROJECT)
    tasks = [entry["task"] for entry in context.stores.task_queue.plan(PROJECT)["entries"]]
    shorter, gone, none = tasks[:3]
    studio.data[shorter], studio.data[gone] = {"text": "x"}, {"other": 1}
    del studio.data[none]
    assert steer(PROJECT).startswith("steered: understudy queue 1, ")
    written = studio.of("understudy queue 1")
    for task in {shorter, gone, none} & set(written):
        found = [one for one in written[task]["result"] if one["type"] == "labels"]
        assert all(one["value"]["end"] <= 1 for one in found)


@pytest.mark.parametrize("strategy", ["margin", "bald", "badge", "coreset", "typiclust", "least_confidence", "entropy"])
def test_every_strategy_has_something_to_go_by(context: Any, fill: Fill, strategy: str) -> None:
    fill("mixed")
    context.settings = context.settings.model_copy(update={"queue_strategy": strategy, "queue_size": 8})
    assert plan(PROJECT) == "planned"
    entries = context.stores.task_queue.plan(PROJECT)["entries"]
    assert len({entry["task"] for entry in entries}) == len(entries) >= 8


def test_texts_that_the_head_doubts_come_first(context: Any, fill: Fill) -> None:
    fill("plain")
    context.settings = context.settings.model_copy(
        update={"queue_strategy": "margin", "queue_size": 8, "queue_explore_share": 0.0, "queue_blind_share": 0.0}
    )
    model = context.live_model(PROJECT, context.stores.versions.live(PROJECT))
    names = ("Aldo", "Brise", "Corvin", "Dunmore", "Estrel", "Farrow", "Gilvan", "Hestor")
    odd = [f"Uppsala Vexworth {name} Pirelli Tronk met Gantry" for name in names]  # digits alone make no other text
    context.stores.projects.add_pool(PROJECT, {500 + n: {"text.page": text} for n, text in enumerate(odd)}, 4000)
    assert plan(PROJECT) == "planned"
    chosen = [entry["task"] for entry in context.stores.task_queue.plan(PROJECT)["entries"]]
    pool = context.stores.projects.pool(PROJECT)
    head, reader = model.span_heads["label"], model.tools.reader

    def doubt(tasks: list[int]) -> float:
        read = reader.read([pool[task]["text.page"] for task in tasks])
        return float(np.mean([one.uncertainty for one in head.spans(read, model.tools.aim)]))

    rest = [task for task in pool if task > 24 and task not in chosen]
    assert doubt(chosen) > 2 * doubt(rest)


def test_chosen_texts_are_handed_out_in_the_order_of_their_choice(context: Any, fill: Fill) -> None:
    fill("plain")
    assert plan(PROJECT) == "planned"
    entries = context.stores.task_queue.plan(PROJECT)["entries"]
    scores = [entry["score"] for entry in entries if entry["role"] == "chosen"]
    assert len(scores) > 8 and scores == sorted(scores) and len(set(scores)) == len(scores)
    assert all(0 <= score <= 1 for score in scores)


def test_a_question_beside_them_is_asked_by_its_own_confidence(context: Any, fill: Fill) -> None:
    fill("mixed")
    assert plan(PROJECT) == "planned"
    entries = context.stores.task_queue.plan(PROJECT)["entries"]
    model = context.live_model(PROJECT, context.stores.versions.live(PROJECT))
    pool = context.stores.projects.pool(PROJECT)
    for entry in entries:
        if entry["role"] == "chosen":
            said = to_prediction(model.spec, model.predict([pool[entry["task"]]])[0], model.version)
            assert entry["score"] == pytest.approx(said["score"], abs=1e-5)


def test_a_pool_is_read_as_far_as_time_allows(context: Any) -> None:
    marks = Marks(context)
    marks.add(sentences(16))
    refit(PROJECT)
    model = context.live_model(PROJECT, context.stores.versions.live(PROJECT))
    texts = [one.text for one in sentences(PORTION_TEXTS + 20, 100)]
    whole = read_marked_pool(model, "label", texts, time.monotonic() + 60, lambda: False)
    assert whole.count == len(texts) == len(whole.features) and (whole.doubts >= 0).all()
    assert ((whole.confidence >= 0) & (whole.confidence <= 1)).all() and np.isfinite(whole.features).all()
    for late, wanted in ((0.0, False), (time.monotonic() + 60, True)):
        part = read_marked_pool(model, "label", texts, late, lambda wanted=wanted: wanted)  # type: ignore[misc]
        assert part.count == PORTION_TEXTS and part.said == whole.said[:PORTION_TEXTS]
    some = whole.take(np.array([3, 5]))
    assert some.said == [whole.said[3], whole.said[5]] and some.count == 2
    empty = read_marked_pool(model, "label", ["", "\n"], time.monotonic() + 60, lambda: False)
    assert empty.count == 2 and empty.said == [(), ()] and np.isfinite(empty.features).all()
    assert read_marked_pool(model, "label", [], time.monotonic() + 60, lambda: False).count == 0
