"""Bad input at every endpoint: a clear error that names the field, or a declined task; never a 500, nothing lost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.rig import choices_config

CONFIG = choices_config(["A", "B"])
PROJECT = {"id": 7, "label_config": CONFIG}


def annotation(number: int = 1, label: str = "A", **fields: Any) -> dict[str, Any]:
    """An `{annotation, task}` pair."""
    result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]
    body = {"id": number, "task": number, "result": result, "updated_at": "2026-01-01T00:00:01Z", **fields}
    return {"annotation": body, "task": {"id": number, "data": {"text": f"text {number}"}}}


def post(client: Any, action: str, **fields: Any) -> Any:
    return client.post("/webhook", json={"action": action, "project": PROJECT, **fields})


def predict(client: Any, tasks: Any, **fields: Any) -> Any:
    return client.post("/predict", json={"tasks": tasks, "project": "7.1", "label_config": CONFIG, **fields})


def test_missing_project_and_ids_are_tolerated(client: Any) -> None:
    reply = client.post("/predict", json={"tasks": [{"data": {"text": "hello"}}], "label_config": CONFIG})
    assert reply.status_code == 200 and len(reply.get_json()["results"]) == 1


def test_a_config_that_cannot_be_learned_is_told_in_the_status_line(client: Any) -> None:
    reply = client.post("/setup", json={"project": "7.1", "schema": "<View><Image name='i' value='$i'/></View>"})
    assert reply.status == "422 no Choices, Taxonomy, Rating, Pairwise or Labels in the label config"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("<View>", "400 label_config is not usable XML: no element found"),
        ("", "400 label_config is empty"),
        (None, "400 label_config is empty"),
        ("<!DOCTYPE v [<!ENTITY e 'x'>]>" + CONFIG, "400 label_config is not usable XML: a DTD is not allowed"),
        ("<View>" * 70 + "</View>" * 70, "400 label_config is nested deeper than 64 tags"),
        ("<View>" + " " * (1 << 20) + "</View>", "400 label_config is larger than 1024 KB: leave out labels"),
        ("<View>" + "\u826f" * 400_000 + "</View>", "400 label_config is larger than 1024 KB: leave out labels"),
        ("x" * (9 << 20), "413 the body is larger than 8 MiB"),
    ],
)
def test_what_is_wrong_with_a_config_is_told_in_the_status_line(client: Any, config: Any, reason: str) -> None:
    reply = client.post("/setup", json={"project": "7.1", "schema": config})
    assert reply.status.startswith(reason) and len(reply.status) < 190 and reply.status.isascii()


def test_the_same_event_many_times_is_one_example(client: Any, services: Any) -> None:
    for _ in range(5):
        assert post(client, "ANNOTATION_CREATED", **annotation()).status_code == 200
    assert (services.stores.examples.count(7), services.stores.examples.pending(7)) == (1, 1)


def test_an_older_update_that_comes_late_changes_nothing(client: Any, services: Any) -> None:
    post(client, "ANNOTATION_UPDATED", **annotation(label="B", updated_at="2026-01-01T00:00:09Z"))
    reply = post(client, "ANNOTATION_CREATED", **annotation(label="A", updated_at="2026-01-01T00:00:01Z"))
    assert reply.get_json()["outcomes"] == {"stale": 1}
    assert services.stores.examples.snapshot(7).records[0].targets == {"label": [["B"]]}


def test_a_delete_that_comes_first_wins(client: Any, services: Any) -> None:
    post(client, "ANNOTATIONS_DELETED", annotations=[{"id": 1}])
    assert post(client, "ANNOTATION_CREATED", **annotation()).get_json()["outcomes"] == {"deleted": 1}
    assert services.stores.examples.count(7) == 0


def test_a_bulk_event_is_stored_whole_and_deleted_tasks_take_theirs_along(client: Any, services: Any) -> None:
    pairs = [annotation(number) for number in range(1, 601)]
    body = {"annotation": [pair["annotation"] for pair in pairs], "task": [pair["task"] for pair in pairs]}
    assert post(client, "ANNOTATIONS_CREATED", **body).get_json()["outcomes"] == {"stored": 600}
    post(client, "TASKS_DELETED", tasks=[{"id": 1}, {"id": 600}, {"id": 9999}])
    assert services.stores.examples.count(7) == 598


def test_a_skip_is_no_example_and_an_empty_answer_is_one(client: Any, services: Any) -> None:
    post(client, "ANNOTATION_CREATED", **annotation(1, was_cancelled=True))
    assert services.stores.examples.count(7) == 0
    post(client, "ANNOTATION_CREATED", **annotation(2, result=[]))
    assert services.stores.examples.count(7) == 1, "none of these"
    post(client, "ANNOTATION_CREATED", **annotation(3))
    post(client, "ANNOTATION_UPDATED", **annotation(3, was_cancelled=True, updated_at="2026-01-01T00:01:00Z"))
    assert services.stores.examples.count(7) == 1


def test_start_training_is_answered_with_one_job_however_often_it_is_pressed(client: Any) -> None:
    post(client, "ANNOTATION_CREATED", **annotation())
    first, second = post(client, "START_TRAINING").get_json(), post(client, "START_TRAINING").get_json()
    assert first["new"] and not second["new"] and first["job"] == second["job"]
    assert "already queued" in second["message"]
    status = client.post("/job_status", json={"job": first["job"]}).get_json()
    assert status["job_status"] == "queued"


def test_unknown_paths_methods_and_jobs_are_json_errors(client: Any) -> None:
    assert client.get("/nothing").status_code == 404
    assert client.get("/predict").status_code == 405
    assert client.post("/job_status", json={"job": "x" * 1000}).status_code == 404
    assert client.get("/admin/jobs/none", headers=ADMIN).get_json()["error"] == "not_found"


ADMIN = {"Authorization": "Bearer admin"}


def test_the_admin_api_knows_unknown_projects_and_bad_versions(client: Any) -> None:
    assert client.get("/admin/projects/99", headers=ADMIN).status_code == 404
    post(client, "ANNOTATION_CREATED", **annotation())
    for version, status in (("../../etc", 400), ("v9", 404), (None, 400), (7, 400)):
        reply = client.post("/admin/projects/7/rollback", json={"version": version}, headers=ADMIN)
        assert reply.status_code == status, version
    assert client.get("/admin/projects/7/retrain", headers=ADMIN).status_code == 405
    assert client.post("/admin/projects/7/resync", headers=ADMIN).status_code == 409


@pytest.mark.parametrize("annotations", [True, 3, "many", {"id": 1}, [None, 7]])
def test_train_passes_over_annotations_that_are_none(client: Any, annotations: Any) -> None:
    """Found by bench/fuzz.py: `true` for a list was a 500."""
    task = {"id": 1, "data": {"text": "hello"}, "annotations": annotations}
    body = {"project": "7.1", "label_config": CONFIG, "annotations": [task]}
    assert client.post("/train", json=body).status_code == 201


def test_ready_health_and_metrics(client: Any) -> None:
    assert client.get("/ready").get_json()["ready"] is True
    assert client.get("/").get_json()["status"] == "UP"
    predict(client, [{"id": 1, "data": {"text": "hello"}}])
    assert "understudy_predictions_total 1.0" in client.get("/metrics").text


def test_setup_asks_the_store_once_for_a_config_that_does_not_change(
    client: Any, services: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = services.stores.projects.config
    monkeypatch.setattr(services.stores.projects, "config", lambda project: (asked.append(project), real(project))[1])
    other = choices_config(["A", "B", "C"])
    for config in (CONFIG, CONFIG, CONFIG, other, other):
        assert client.post("/setup", json={"project": "7.1", "schema": config}).status_code == 200
    assert asked == [7, 7] and real(7) == other
    assert client.post("/setup", json={"project": "7.1", "schema": CONFIG}).status_code == 200
    assert real(7) == CONFIG, "back again"


def test_setup_restores_a_config_that_the_store_has_lost(client: Any, services: Any) -> None:
    services.configs._trusted = 0.0
    for _ in range(2):
        assert client.post("/setup", json={"project": "7.1", "schema": CONFIG}).status_code == 200
        assert services.stores.projects.config(7) == CONFIG
        services.stores.projects._redis.flushall()


def test_a_project_that_only_predicts_is_known_and_later_configs_come_from_setup(client: Any, services: Any) -> None:
    projects, other = services.stores.projects, choices_config(["A", "C"])
    predict(client, [{"data": {"text": "hello"}}])
    assert projects.config(7) == CONFIG
    predict(client, [{"data": {"text": "hello"}}], label_config=other)
    assert projects.config(7) == CONFIG, "a prediction under another config changes nothing"
    client.post("/setup", json={"project": "7.1", "schema": other})
    assert projects.config(7) == other
