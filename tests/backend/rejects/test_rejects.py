"""Nothing falls away in silence: why a task or a label comes to nothing is counted, told in words, and fades."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from backend.cli.render import render_background_work
from backend.labelstudio.annotations import to_record
from backend.labelstudio.rejects import REJECT_CODES, rejects_of_annotation, rejects_of_task, rejects_of_text
from backend.labelstudio.task_spec import parse_label_config
from backend.rejects.pending import RejectNotes
from backend.rejects.report import describe_reject, describe_rejects
from backend.store.rejects import FADING_SECONDS, KINDS_KEPT, OF_NO_PROJECT, RejectRow
from tests.backend.routes.test_routes import ADMIN
from tests.support.rig import choices_config

CONFIG = choices_config(["A", "B"])
RENAMED = CONFIG.replace("$text", "$txt")
RESULT = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["A"]}}]


def annotate(client: Any, number: int, config: str = RENAMED, data: Any = None, result: Any = None) -> Any:
    shown = {"text": f"text {number}"} if data is None else data
    body = {"id": number, "task": number, "result": RESULT if result is None else result}
    event = {"action": "ANNOTATION_CREATED", "project": {"id": 7, "label_config": config}}
    return client.post("/webhook", json={**event, "annotation": body, "task": {"id": number, "data": shown}})


def told(client: Any, services: Any) -> list[str]:
    services.background.rejects.store(services.stores)
    entry = client.get("/admin/projects/7", headers=ADMIN).get_json()
    return list(render_background_work(entry, time.time()))


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        ({"text": "a", "id": 1}, "field_missing", "have no field `txt`; they have `id`, `text`"),
        ({}, "field_missing", "have no field `txt`, nor any other"),
        (
            {f"f{n}": 1 for n in range(9)},
            "field_missing",
            "have no field `txt`; they have `f0`, `f1`, `f2`, `f3`, `f4`, …",
        ),
        ({"txt": None}, "not_a_text", "null"),
        ({"txt": {"a": 1}}, "not_a_text", "`txt`"),
        (None, "not_a_text", "have no data"),
        ([1], "not_a_text", "have no data"),
    ],
)
def test_why_a_task_cannot_be_read(data: Any, code: str, words: str) -> None:
    (reject,) = rejects_of_task(parse_label_config(RENAMED), data, 1000)
    assert reject.code == code and words in reject.words and code in REJECT_CODES


@pytest.mark.parametrize(
    ("text", "code"),
    [(" ", "empty_text"), ("", "empty_text"), ("x" * 100, "too_long"), ("https://h/a.txt", "url"), ("s3://b/k", "url")],
)
def test_texts_that_say_next_to_nothing(text: str, code: str) -> None:
    assert [reject.code for reject in rejects_of_text("text", text, 100)] == [code]
    assert not list(rejects_of_text("text", "see https://h/a.txt", 100))


def item(**changes: Any) -> dict[str, Any]:
    return {**RESULT[0], **changes}


@pytest.mark.parametrize(
    ("result", "data", "codes"),
    [
        (RESULT, {"text": "a"}, []),
        (RESULT, {"body": "a"}, ["field_missing"]),
        (RESULT, {"text": {"a": 1}}, ["not_a_text"]),
        ([item(value={"choices": ["A", "C"]})], {"text": "a"}, ["label_unknown"]),
        ([item(value={"choices": [None]})], {"text": "a"}, ["malformed"]),
        ([item(value={"choices": 5})], {"text": "a"}, ["malformed"]),
        ([item(value={"choices": [True, {"a": 1}]})], {"text": "a"}, ["malformed"]),
        (None, {"text": "a"}, ["malformed"]),
        ({}, {"text": "a"}, ["malformed"]),
        ([item(from_name="other")], {"text": "a"}, ["control_not_learned"]),
        ([item(value=3)], {"text": "a"}, ["malformed"]),
        ([5], {"text": "a"}, ["malformed"]),
        ("text", {"text": "a"}, ["malformed"]),
        ([*RESULT, item(from_name="other")], {"text": "a"}, ["control_not_learned"]),
        ([*RESULT, item(from_name="text")], {"text": "a"}, []),
    ],
)
def test_why_a_label_comes_to_nothing(result: Any, data: Any, codes: list[str]) -> None:
    spec = parse_label_config(CONFIG.replace("<Choices ", '<Choices required="true" '))
    annotation, task = {"id": 1, "task": 1, "result": result}, {"id": 1, "data": data}
    record = to_record(spec, annotation, task)
    found = list(rejects_of_annotation(spec, annotation, task, record, 1000))
    assert [reject.code for reject in found] == codes
    skipped = {**annotation, "was_cancelled": True}
    assert not list(rejects_of_annotation(spec, skipped, task, to_record(spec, skipped, task), 1000))


def test_labels_and_tasks_without_the_field_are_told_by_status_and_log(client: Any, services: Any, caplog: Any) -> None:
    tasks = [{"id": number, "data": {"text": "a"}} for number in range(100, 112)]
    with caplog.at_level(logging.WARNING, "backend.rejects.pending"):
        for number in range(1, 7):
            assert annotate(client, number).status_code == 200
        for _ in range(3):
            client.post("/predict", json={"tasks": tasks, "project": "7.1", "label_config": RENAMED})
    lines = told(client, services)
    assert "12 tasks have no field `txt`; they have `text` (last just now)" in lines
    assert "6 labelled tasks have no field `txt`; they have `text` (last just now)" in lines
    assert len(caplog.records) == 2, "one line each, not one a task"
    assert services.metrics.rejects.labels("field_missing")._value.get() == 42


def test_a_mended_config_makes_the_words_go(client: Any, services: Any) -> None:
    annotate(client, 1)
    assert any("`txt`" in line for line in told(client, services))
    annotate(client, 2, CONFIG)
    assert not any("`txt`" in line for line in told(client, services))


def test_a_label_before_any_usable_config_is_told(client: Any, services: Any) -> None:
    annotate(client, 1, "<View><Image name='i' value='$i'/></View>")
    assert any("before any label config that can be learned" in line for line in told(client, services))


def test_refused_requests_are_told_by_reason(client: Any, services: Any) -> None:
    services.stores.projects.save_config(7, CONFIG)
    client.post("/webhook", data=b"{")
    client.post("/setup", json={"project": "7.1", "schema": "<View"})
    client.post("/train_status", json={})
    lines = "\n".join(told(client, services))
    assert "POST /webhook was answered 400: the body is not JSON" in lines
    assert "POST /setup was answered" in lines and "POST /train_status was answered 404" in lines
    assert services.stores.rejects.read(OF_NO_PROJECT)


def test_an_unknown_project_makes_no_keys_of_its_own(client: Any, services: Any) -> None:
    client.post("/setup", json={"project": "99.1", "schema": "<View"})
    services.background.rejects.store(services.stores)
    assert services.stores.rejects.read(99) == []
    assert "(project 99)" in str(services.stores.rejects.read(OF_NO_PROJECT))


def test_what_is_stored_is_bounded_distinct_and_fades(stores: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stores.projects.save_config(7, CONFIG)
    stores.rejects.add(
        7, [RejectRow("tasks", "url", "hold a URL", 3, [1, 2, 3]), RejectRow("labels", "url", "are so", 9)]
    )
    stores.rejects.add(7, [RejectRow("tasks", "url", "hold a URL", 3, [2, 3, 4])])
    first = {entry["where"]: (entry["tasks"], entry["times"]) for entry in stores.rejects.read(7)}
    assert first == {"tasks": (4, 6), "labels": (0, 9)}
    stores.rejects.add(7, [RejectRow("tasks", "url", f"kind {number}", 1, [1]) for number in range(3 * KINDS_KEPT)])
    assert len(stores.rejects.read(7)) == KINDS_KEPT
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + FADING_SECONDS["tasks"] + 1)
    assert not [entry for entry in stores.rejects.read(7) if entry["where"] == "tasks"]


def test_a_whole_reconciliation_counts_labels_anew(stores: Any) -> None:
    stores.projects.save_config(7, CONFIG)
    stores.rejects.add(7, [RejectRow("labels", "url", "old"), RejectRow("tasks", "url", "stays", 1, [1])])
    stores.rejects.forget_labels(7, time.time())
    assert [entry["words"] for entry in stores.rejects.read(7)] == ["stays"]


def test_nothing_is_lost_while_redis_is_away(own_redis: Any) -> None:
    from backend.errors import StoreUnavailable
    from backend.labelstudio.rejects import Reject
    from backend.store.stores import Stores

    stores, notes = Stores(own_redis.settings), RejectNotes()
    stores.projects.save_config(7, CONFIG)
    notes.note(7, "tasks", [(1, Reject("url", "hold a URL")), (None, Reject("url", "of a file"))])
    own_redis.kill()
    with pytest.raises(StoreUnavailable):
        notes.store(stores)
    own_redis.start()
    notes.store(stores)
    assert [entry["words"] for entry in stores.rejects.read(7)] == ["hold a URL"]
    stores.close()


def test_words_fit_one_and_many() -> None:
    words = "have no field `a`; they have `b`"
    assert describe_reject("tasks", words, 1) == "1 task has no field `a`; it has `b`"
    assert describe_reject("labels", words, 2) == "2 labelled tasks have no field `a`; they have `b`"
    entry = {"where": "tasks", "words": "hold a URL", "tasks": 2, "times": 9, "last": 0.0}
    assert list(describe_rejects([entry], 7200.0)) == ["2 tasks hold a URL (last 2 hours ago)"]
    full = {**entry, "tasks": 1000, "times": 1000}
    assert list(describe_rejects([full], 0.0)) == ["1000 tasks hold a URL (last just now)"]
    assert list(describe_rejects([{**full, "times": 1001}], 0.0)) == ["1000 or more tasks hold a URL (last just now)"]


def test_no_line_says_that_nothing_was_missing_while_labels_fall_away() -> None:
    entry = {
        "last_sync": {"ok_at": 0.0, "drift": 0, "unread": 2},
        "rejects": [{"where": "labels", "words": "have no field `a`", "tasks": 2, "times": 2, "last": 0.0}],
    }
    line = next(iter(render_background_work(entry, 60.0)))
    assert "nothing was missing of what can be read, see below, 2 cannot be read" in line


def test_unknown_labels_are_told_as_people_wrote_them() -> None:
    spec = parse_label_config(CONFIG)
    annotation = {"id": 1, "result": [item(value={"choices": ["[b]x[/b]", "A/B"]})]}
    record = to_record(spec, annotation, {"id": 1, "data": {"text": "a"}}, 1000)
    (reject,) = rejects_of_annotation(spec, annotation, {"data": {"text": "a"}}, record, 1000)
    assert reject.words.endswith("`[b]x[/b]`, `A/B`")
