"""Recorded webhook bodies become the right events, with the right ids."""

from __future__ import annotations

from typing import Any

import pytest

from backend.errors import BadRequest
from backend.labelstudio.events import (
    AnnotationsDeleted,
    AnnotationsUpserted,
    Event,
    Ignored,
    ProjectUpdated,
    StartTraining,
    TasksCreated,
    TasksDeleted,
    parse_webhook,
    to_records,
)
from backend.labelstudio.task_spec import parse_label_config
from tests.support.label_configs import CONFIGS, WEBHOOKS, webhook

TYPES: dict[str, type[Event]] = {
    "ANNOTATION_CREATED": AnnotationsUpserted,
    "ANNOTATIONS_CREATED": AnnotationsUpserted,
    "ANNOTATION_UPDATED": AnnotationsUpserted,
    "ANNOTATIONS_DELETED": AnnotationsDeleted,
    "TASKS_CREATED": TasksCreated,
    "TASKS_DELETED": TasksDeleted,
    "PROJECT_UPDATED": ProjectUpdated,
    "START_TRAINING": StartTraining,
}
LIST_STEP = "DM action: predictions to annotations"


def name(row: dict[str, Any]) -> str:
    return f"{row['scenario']}: {row['step']}"


def listed(body: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = body.get(key, [])
    return value if isinstance(value, list) else [value]


def test_the_recordings_hold_every_action_of_label_studio() -> None:
    assert {row["body"]["action"] for row in WEBHOOKS} == set(TYPES)


@pytest.mark.parametrize("row", WEBHOOKS, ids=name)
def test_a_recorded_webhook_becomes_the_right_event(row: dict[str, Any]) -> None:
    body = row["body"]
    event = parse_webhook(body)
    assert type(event) is TYPES[body["action"]]
    assert (event.action, event.project, event.project_id) == (body["action"], body["project"]["id"], event.project)
    assert event.label_config == body["project"]["label_config"]
    if isinstance(event, AnnotationsUpserted):
        assert [(one["id"], task and task["id"]) for one, task in event.items] == [
            (one["id"], one["task"]) for one in listed(body, "annotation")
        ]
    elif isinstance(event, AnnotationsDeleted):
        assert event.ids == tuple(item["id"] for item in body["annotations"])
    elif isinstance(event, TasksDeleted):
        assert event.ids == tuple(item["id"] for item in body["tasks"])
    elif isinstance(event, TasksCreated):
        assert [task["id"] for task in event.tasks] == [task["id"] for task in body["tasks"]]


def test_start_training_carries_neither_annotation_nor_task() -> None:
    event = parse_webhook(webhook("start training", "START_TRAINING"))
    assert isinstance(event, StartTraining) and event.label_config
    assert to_records(event, parse_label_config(event.label_config)) == []


def test_deletes_come_in_the_plural() -> None:
    event = parse_webhook(webhook("DM action: delete annotations of 2 tasks", "ANNOTATIONS_DELETED"))
    assert isinstance(event, AnnotationsDeleted) and event.ids == (4, 5, 6)


@pytest.mark.parametrize("payload", [{"annotation": {"id": 4}}, {"annotation": 4}, {"annotations": [4]}])
def test_a_delete_in_the_singular_is_read_as_well(payload: dict[str, Any]) -> None:
    event = parse_webhook({"action": "ANNOTATION_DELETED", "project": {"id": 3}, **payload})
    assert isinstance(event, AnnotationsDeleted) and event.ids == (4,)


def test_annotations_made_of_predictions_come_as_lists() -> None:
    body = webhook(LIST_STEP, "ANNOTATIONS_CREATED")
    (record,) = to_records(parse_webhook(body), parse_label_config(CONFIGS["single"]))
    assert (record.annotation, record.task, record.targets) == (7, 6, {"sentiment": [["Neutral"]]})
    assert record.texts == {"text": body["task"][0]["data"]["text"]}


def test_each_annotation_of_a_list_gets_its_own_task_in_any_order() -> None:
    body = webhook(LIST_STEP, "ANNOTATIONS_CREATED")
    body["annotation"].append({**body["annotation"][0], "id": 70, "task": 60})
    body["task"].insert(0, {**body["task"][0], "id": 60, "data": {"text": "sixty"}})
    records = to_records(parse_webhook(body), parse_label_config(CONFIGS["single"]))
    assert [(record.annotation, record.task) for record in records] == [(7, 6), (70, 60)]
    assert records[1].texts == {"text": "sixty"}


@pytest.mark.parametrize("action", TYPES)
def test_a_webhook_without_payload_is_ignored_as_incomplete(action: str) -> None:
    event = parse_webhook({"action": action})
    assert event == Ignored(action, 0, None, incomplete=True)


@pytest.mark.parametrize("key", ["annotation", "annotations", "tasks"])
def test_a_webhook_that_lost_its_payload_is_incomplete_when_it_announced_one(key: str) -> None:
    for row in WEBHOOKS:
        body = {name: value for name, value in row["body"].items() if name != key}
        event = parse_webhook(body)
        if key in row["body"] and not isinstance(event, TasksCreated):
            assert isinstance(event, Ignored) and event.incomplete and event.project


def test_an_answer_whose_task_was_not_sent_is_incomplete() -> None:
    body = webhook("create annotation", "ANNOTATION_CREATED")
    del body["task"]
    event = parse_webhook(body)
    assert isinstance(event, Ignored) and event.incomplete and event.project == 1


def test_a_skipped_annotation_needs_no_task() -> None:
    body = webhook("skip task (was_cancelled)", "ANNOTATION_CREATED")
    del body["task"]
    assert isinstance(event := parse_webhook(body), AnnotationsUpserted) and event.items[0][1] is None


def test_an_answer_with_the_task_of_another_is_refused() -> None:
    body = webhook("create annotation", "ANNOTATION_CREATED")
    body["task"]["id"] = 999
    with pytest.raises(BadRequest) as caught:
        parse_webhook(body)
    assert caught.value.evidence["field"] == "task"


def test_an_unknown_action_is_ignored_and_announces_nothing() -> None:
    for body in ({"action": "NEW_IN_2030"}, {"action": "NEW_IN_2030", "project": {"id": 4}, "rows": [1]}):
        assert isinstance(event := parse_webhook(body), Ignored) and not event.incomplete


@pytest.mark.parametrize("body", [None, [], "x", 7, {}, {"action": None}, {"action": 7}, {"action": ""}])
def test_a_body_without_an_action_is_refused(body: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_webhook(body)
    assert caught.value.evidence["field"] in ("body", "action")


@pytest.mark.parametrize("project", [7, "7", "7.1795455205"])
def test_a_bare_project_id_is_taken(project: Any) -> None:
    assert parse_webhook({"action": "START_TRAINING", "project": project}) == StartTraining("START_TRAINING", 7)


def test_without_a_project_the_annotation_names_it() -> None:
    body = webhook("create annotation", "ANNOTATION_CREATED")
    body["annotation"]["project"] = 12
    del body["project"]
    event = parse_webhook(body)
    assert (type(event), event.project, event.label_config) == (AnnotationsUpserted, 12, None)


@pytest.mark.parametrize("config", [None, "", "  \n"])
def test_an_empty_label_config_counts_as_not_sent(config: Any) -> None:
    assert (
        parse_webhook({"action": "PROJECT_UPDATED", "project": {"id": 7, "label_config": config}}).label_config is None
    )
