"""Whole-project prediction as admins ask for it and see it, over the real application."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from backend.application.prediction_runs import sum_up
from backend.routes.app import create_app
from backend.store.work.prediction_runs import new_shard
from tests.support.rig import choices_config
from tests.support.tiny import PROJECT, settings, tiny_base  # noqa: F401

ADMIN = {"Authorization": "Bearer admin"}
PATH = f"/admin/projects/{PROJECT}/predict"


@pytest.fixture
def client(services: Any) -> Any:
    services.stores.projects.save_config(PROJECT, choices_config(["a", "e"]))
    changes = {"label_studio_url": "http://127.0.0.1:1", "label_studio_api_key": SecretStr("0" * 40)}
    from dataclasses import replace

    return create_app(replace(services, settings=services.settings.model_copy(update=changes))).test_client()


def test_a_run_is_asked_for_once_shown_and_cancelled(client: Any) -> None:
    assert client.get(PATH, headers=ADMIN).status_code == 404
    asked = client.post(PATH, headers=ADMIN, json={"all": True})
    first = asked.get_json()
    assert (asked.status_code, first["status"], first["new"], first["all"]) == (202, "queued", True, True)
    again = client.post(PATH, headers=ADMIN).get_json()
    assert (again["id"], again["new"], again["message"]) == (
        first["id"],
        False,
        "already queued: nothing is predicted twice",
    )
    shown = client.get(PATH, headers=ADMIN).get_json()
    assert (shown["id"], shown["step"], shown["of"], shown["shards"]) == (first["id"], 0, 0, {"all": 0, "over": 0})
    assert client.post(f"{PATH}/cancel", headers=ADMIN).get_json()["status"] == "cancelled"
    assert client.post(f"{PATH}/cancel", headers=ADMIN).status_code == 409
    assert client.post(PATH, headers=ADMIN).get_json()["new"] is True


def test_what_cannot_work_is_refused_with_the_remedy(client: Any, services: Any) -> None:
    assert client.post(PATH, headers=ADMIN, json={"all": "yes"}).get_json()["field"] == "all"
    bare = create_app(services).test_client()
    reply = bare.post(PATH, headers=ADMIN)
    assert reply.status_code == 409 and "LABEL_STUDIO_API_KEY" in reply.get_json()["message"]
    assert client.post("/admin/projects/99/predict", headers=ADMIN).status_code == 404


def test_progress_adds_up() -> None:
    record = {"id": "r", "status": "running", "by": "admin", "labelled": False, "asked_at": 100.0, "tasks": 40}
    shards = {
        0: {**new_shard(1, 20), "seen": 10, "written": 8, "declined": 2},
        1: {**new_shard(21, None), "done": True},
    }
    shown = sum_up(record, shards, {"error": "away", "retry_in": 9}, now=110.0)
    assert (shown["step"], shown["of"], shown["seconds_left"]) == (10, 40, 30.0)
    assert (shown["written"], shown["declined"], shown["shards"]) == (8, 2, {"all": 2, "over": 1})
    assert (shown["error"], shown["retry_in"]) == ("away", 9)
    over = sum_up({**record, "status": "done"}, shards, {"error": "of the next run"}, now=110.0)
    assert (over["step"], over["of"], over["seconds_left"], over["error"]) == (10, 10, None, "")
