"""Spans through the web routes: what the real Label Studio sent is answered and stored, whatever else is broken."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from backend.errors import UnsupportedConfig
from backend.labelstudio.spans.annotations import read_spans
from backend.labelstudio.spans.config import with_all_task_labels
from backend.labelstudio.spans.control import TEXT
from backend.labelstudio.spans.page import Page, read_pages
from backend.labelstudio.spans.validator import check_result
from backend.labelstudio.task_spec import parse_label_config, span_config_of
from model.acquisition.batch import is_blind
from tests.backend.labelstudio.spans.test_fuzz import forbidden
from tests.support.marking import MARKS, PROJECT
from tests.support.spans import HTML_CONFIG, ODD_TEXT, TURNS_CONFIG, recorded, recorded_pages

ADMIN = {"Authorization": "Bearer admin"}
SUMMARY = '<TextArea name="understudy" toName="text"/>'


FILES = ("text_offsets", "odd_regions", "hypertext", "paragraphs", "relations_perregion", "config_variants")


def predict(client: Any, config: str, tasks: list[Any], **params: Any) -> Any:
    body = {"tasks": tasks, "project": f"{PROJECT}.1", "label_config": config, "params": params}
    return client.post("/predict", json=body)


def webhook(client: Any, config: str, number: int, data: Any, result: Any, **more: Any) -> Any:
    annotation = {"id": number, "task": number, "result": result, "lead_time": 2.0, **more}
    annotation.setdefault("updated_at", f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}Z")
    project = {"id": PROJECT, "label_config": config}
    task = {"id": number, "data": data}
    body = {"action": "ANNOTATION_CREATED", "project": project, "annotation": annotation, "task": task}
    return client.post("/webhook", json=body)


def eventually(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 120
    while not (found := what()):
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)
    return found


def pages_of(config: str, data: Any) -> tuple[Any, dict[str, Page]]:
    found = with_all_task_labels(span_config_of(parse_label_config(config)), data)
    return found, read_pages(found, data)[0]


def test_every_recorded_page_is_answered_with_regions_that_it_can_show(client: Any) -> None:
    shown = dict.fromkeys(FILES, 0)
    for name in FILES:
        for case, config, data, _ in recorded_pages(name):
            parsed = client.post("/setup", json={"project": f"{PROJECT}.1", "schema": config})
            assert parsed.status_code in (200, 422), (name, case)
            reply = predict(client, config, [{"id": 1, "data": data}])
            assert reply.status_code == parsed.status_code, (name, case, reply.text)
            if parsed.status_code == 422:
                continue
            (item,) = reply.get_json()["results"]
            if item == []:
                continue
            found, pages = pages_of(config, data)
            checked = check_result(found, pages, item["result"])
            assert checked.dropped == {} and checked.result == item["result"], (name, case)
            if name in ("text_offsets", "odd_regions"):
                assert forbidden(item["result"], data) == [], (name, case)
            shown[name] += len(item["result"])
    assert all(count > 0 for name, count in shown.items() if name not in ("relations_perregion",)), shown
    assert sum(shown.values()) > 50, shown


def test_every_recorded_annotation_is_stored_as_it_was_drawn(client: Any, services: Any) -> None:
    number, marked = 0, 0
    for name in FILES:
        for case, config, data, result in recorded_pages(name):
            try:
                found, pages = pages_of(config, data)
            except UnsupportedConfig:  # its annotations wait for a resync under another config
                continue
            number += 1
            reply = webhook(client, config, number, data, result)
            assert reply.status_code == 200, (name, case, reply.text)
            answer = read_spans(found, pages, {"result": result})
            for record in services.stores.examples.of_task(PROJECT, number):
                for control, rows in record.spans.items():
                    assert [(one.start, one.end, one.label) for one in answer.spans[control]] == rows, (name, case)
                    marked += len(rows)
                    _check_text(pages[found.by_name[control].object.name], control, rows, result, case)
    assert marked > 150, marked


def _check_text(page: Page, control: str, rows: list[Any], result: list[Any], case: str) -> None:
    """The characters are those that the page said beside the region, where it says them as they are."""
    if page.object.tag != TEXT or case in ("text_disagrees", "id_duplicate_other_place"):
        return
    said = {str(item["value"].get("text", "")).strip() for item in result if item.get("from_name") == control}
    if "" not in said:
        assert {page.text[start:end] for start, end, _ in rows} <= said, case


def test_recorded_marks_are_answered_with_their_other_occurrences(client: Any, services: Any) -> None:
    file = recorded("edit_and_interactive")
    whole = file["interactive"]
    reply = predict(client, whole["label_config"], [whole["task"]], context=whole["context"])
    (item,) = reply.get_json()["results"]
    assert isinstance(item, dict), "Label Studio takes nothing else"
    found = {(one["value"]["start"], one["value"]["end"]): one for one in item["result"]}
    assert {(35, 38), (54, 57)} <= set(found), "those of Ada that are not marked yet"
    assert not {(0, 3), (19, 22), (8, 11)} & set(found)
    assert all(one["value"]["labels"] == ["PER"] for one in item["result"])
    ids = {one["id"] for one in item["result"]}
    assert not ids & {one["id"] for one in whole["context"]["result"]} and len(ids) == len(item["result"])
    memory = services.stores.suggestions.memory(PROJECT, whole["task"]["id"])
    assert {one.id for one in memory.suggested} == ids
    html, turns = "<p>Ada met <b>Bob</b>, and Bob left</p>", [{"text": "😀 Ada"}, {"text": "Yes,  Ada"}]
    task = {"id": 8, "data": {"html": html}}
    (item,) = predict(client, HTML_CONFIG, [task], context=file["interactive_html"][0]).get_json()["results"]
    assert {"start": 17, "end": 20} in [one["value"]["globalOffsets"] for one in item["result"]]
    task = {"id": 9, "data": {"dialogue": turns}}
    (item,) = predict(client, TURNS_CONFIG, [task], context=file["interactive_para"][0]).get_json()["results"]
    assert ("0", 3) in [(one["value"]["start"], one["value"]["startOffset"]) for one in item["result"]]


def test_what_was_taken_away_while_marking_does_not_come_back(client: Any, services: Any) -> None:
    text = "Ada met Bob. Later Ada saw Bob and Ada left."
    task = {"id": 4, "data": {"text": text}}

    def region(id_: str, start: int, origin: str = "manual") -> dict[str, Any]:
        value = {"start": start, "end": start + 3, "labels": ["PER"], "text": text[start : start + 3]}
        return {"id": id_, "from_name": "label", "to_name": "text", "type": "labels", "value": value, "origin": origin}

    context = {"result": [region("mine", 0)]}
    (item,) = predict(client, MARKS, [task], context=context).get_json()["results"]
    suggested = {one["value"]["start"]: one["id"] for one in item["result"]}
    assert {19, 35} <= set(suggested)
    # The one at 19 was taken away; what comes next is asked with the mark of a Bob.
    memory = services.stores.suggestions.memory(PROJECT, 4)
    assert memory.answered_at > 0
    left = [region(id_, start) for start, id_ in suggested.items() if start != 19]
    context = {"result": [region("mine", 0), *left, region("bob", 8)]}
    (item,) = predict(client, MARKS, [task], context=context).get_json()["results"]
    assert 19 not in [one["value"]["start"] for one in item["result"]]
    context = {"result": [region("again", 0)]}
    (item,) = predict(client, MARKS, [task], context=context).get_json()["results"]
    assert 19 not in [one["value"]["start"] for one in item["result"]]


@pytest.mark.parametrize("context", [None, 7, "x", [], {}, {"result": None}, {"result": []}, {"result": [None, 3]}])
def test_a_context_that_names_no_mark_is_an_ordinary_request_or_nothing(client: Any, context: Any) -> None:
    reply = predict(client, MARKS, [{"id": 4, "data": {"text": "Ada Lovelace met Bob."}}], context=context)
    assert reply.status_code == 200 and len(reply.get_json()["results"]) == 1


def test_a_suggestion_that_was_taken_away_is_remembered_with_the_label(client: Any, services: Any) -> None:
    task = {"id": 3, "data": {"text": ODD_TEXT}}
    (item,) = predict(client, MARKS, [task]).get_json()["results"]
    assert len(item["result"]) >= 2, "the prior knows people and places"
    eventually(lambda: services.stores.suggestions.of_tasks(PROJECT, [3]))
    kept, *gone = item["result"]
    rows = {(one["value"]["start"], one["value"]["end"], one["value"]["labels"][0]) for one in gone}
    kept = {**kept, "origin": "prediction"}
    assert webhook(client, MARKS, 3, task["data"], [kept], parent_prediction=1).status_code == 200
    (record,) = services.stores.examples.of_task(PROJECT, 3)
    assert set(record.removed["label"]) == rows and len(record.spans["label"]) == 1
    (shown,) = client.get(f"/admin/projects/{PROJECT}/examples", headers=ADMIN).get_json()["examples"]
    assert {(one["start"], one["end"], one["label"]) for one in shown["removed"]["label"]} == rows
    later = {"updated_at": "2026-01-02T00:00:00Z", "parent_prediction": 1}
    assert webhook(client, MARKS, 3, task["data"], item["result"], **later).status_code == 200
    (record,) = services.stores.examples.of_task(PROJECT, 3)
    assert record.removed == {}, "brought back"


def test_of_a_blind_task_nothing_was_shown_and_nothing_can_be_taken_away(client: Any, services: Any) -> None:
    share = services.settings.queue_blind_share
    number = next(task for task in range(1, 1000) if is_blind(PROJECT, task, share))
    config = MARKS.replace("</View>", SUMMARY + "</View>")
    services.stores.task_queue.switch(PROJECT, "")
    eventually(lambda: PROJECT in services.background.steered)
    task = {"id": number, "data": {"text": ODD_TEXT}}
    (item,) = predict(client, config, [task]).get_json()["results"]
    assert item == [] or all(one["type"] != "labels" for one in item["result"]), "the annotator sees no suggestion"
    found = eventually(lambda: services.stores.suggestions.of_tasks(PROJECT, [number]))
    assert list(found[number].values()) == [[]]
    assert webhook(client, config, number, task["data"], [], parent_prediction=1).status_code == 200
    (record,) = services.stores.examples.of_task(PROJECT, number)
    assert record.spans == {"label": []} and record.removed == {}


@pytest.mark.parametrize("id_", [["x"], {"a": 1}, 7, None])
def test_a_label_with_an_odd_region_id_is_stored(client: Any, services: Any, id_: Any) -> None:
    """A list for an id was a 500 where something had been suggested."""
    predict(client, MARKS, [{"id": 3, "data": {"text": ODD_TEXT}}])
    eventually(lambda: services.stores.suggestions.of_tasks(PROJECT, [3]))
    value = {"start": 0, "end": 12, "labels": ["PER"]}
    region = {"id": id_, "from_name": "label", "to_name": "text", "type": "labels", "value": value}
    assert webhook(client, MARKS, 3, {"text": ODD_TEXT}, [region], parent_prediction=1).status_code == 200
    (record,) = services.stores.examples.of_task(PROJECT, 3)
    assert record.spans == {"label": [(0, 12, "PER")]}


@pytest.mark.parametrize("change", ["text gone", "another control", "another object"])
def test_a_label_of_a_page_that_is_not_what_it_was_is_stored(client: Any, services: Any, change: str) -> None:
    """What had been suggested for the page before was a 500, and the label was lost until a reconciliation."""
    predict(client, MARKS, [{"id": 3, "data": {"text": ODD_TEXT}}])
    eventually(lambda: services.stores.suggestions.of_tasks(PROJECT, [3]))
    data, config = {"text": ODD_TEXT}, MARKS
    if change == "text gone":
        data = {"other": "x"}
    elif change == "another control":
        config = MARKS.replace('name="label"', 'name="marks"')
    else:
        config = MARKS.replace('"$text"', '"$body"').replace('"text"', '"body"')
    result = [{"id": "a", "from_name": "marks", "type": "labels", "value": {"start": 0, "end": 12, "labels": ["PER"]}}]
    assert webhook(client, config, 3, data, result, parent_prediction=1).status_code == 200
    if change == "another control":
        (record,) = services.stores.examples.of_task(PROJECT, 3)
        assert record.spans == {"marks": [(0, 12, "PER")]} and record.removed == {}
