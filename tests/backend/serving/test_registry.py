"""Live models: what is published is served, what is damaged is not, and a changed config never brings a dead label."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from backend.jobs.learn.refit import refit
from backend.labelstudio.task_spec import parse_label_config
from tests.backend.conftest import PROJECT, Labels
from tests.support.rig import choices_config


@pytest.fixture
def labels(context: Any) -> Labels:
    return Labels(context)


def wait_for(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not within time"
        time.sleep(0.02)


def version(services: Any) -> str:
    return str(services.registry.version_of(PROJECT))


def test_a_published_version_is_served(services: Any, labels: Labels) -> None:
    assert version(services) == "v0"
    labels.add(0, 16)
    refit(PROJECT)
    wait_for(lambda: version(services) == "v0.1")


def test_a_lost_announcement_is_made_up_for_by_polling(services: Any, labels: Labels) -> None:
    labels.add(0, 16)
    refit(PROJECT)
    wait_for(lambda: version(services) == "v0.1")
    labels.add(16, 20)
    refit(PROJECT)
    wait_for(lambda: version(services) == "v0.2")
    labels.context.stores._redis.set(f"understudy:{{p{PROJECT}}}:live", "v0.1")  # moved, but nothing was said
    wait_for(lambda: version(services) == "v0.1", 5.0)


def test_an_announcement_costs_no_reading_of_all_projects(services: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many projects that many people label: each would be read for each label of any."""
    registry, read = services.registry, list[list[int]]()
    registry.stop()  # its thread would read amid this
    live_of = services.stores.versions.live_of
    monkeypatch.setattr(services.stores.versions, "live_of", lambda some: (read.append(list(some)), live_of(some))[1])
    for project in (*range(50, 60), PROJECT):
        services.stores.projects.save_config(project, choices_config(["a", "b"]))
    registry._find_pointers()
    registry._find_pointers(PROJECT)
    assert set(range(50, 60)) < set(read[-2]) and read[-1] == [PROJECT]
    registry._looked -= 60.0
    registry._find_pointers(PROJECT)
    assert len(read[-1]) > 10, "all of them every POLL_SECONDS, however many announcements come"


def test_a_new_project_gets_a_cold_start(services: Any) -> None:
    spec = parse_label_config(choices_config(["praise", "complaint"]))
    model = services.registry.model_for(99, spec, 1.0)
    [answer] = model.predict([{"text": "thank you, this is wonderful"}])
    assert model.version == "v0" and answer[0].chosen == ("praise",) and answer[0].score < 0.95


def test_predictions_go_on_without_redis(services: Any, labels: Labels, client: Any, monkeypatch: Any) -> None:
    labels.add(0, 16)
    refit(PROJECT)
    wait_for(lambda: version(services) == "v0.1")
    from redis import ConnectionError as Lost

    def away(*args: Any, **more: Any) -> Any:
        raise Lost("away")

    monkeypatch.setattr(services.stores._redis, "execute_command", away)
    config = choices_config(labels.names)
    body = {"project": f"{PROJECT}.1", "tasks": [{"id": 1, "data": {"text": "hello"}}], "label_config": config}
    assert client.post("/predict", json=body).get_json()["results"][0]["model_version"] == "v0.1"
    assert client.post("/setup", json={"project": f"{PROJECT}.1", "schema": config}).status_code == 200
    event = {"action": "PROJECT_UPDATED", "project": {"id": PROJECT, "label_config": config}}
    reply = client.post("/webhook", json=event)
    assert (reply.status_code, reply.get_json()["error"]) == (503, "store_unavailable")
    assert services.background._missed, "to be reconciled when Redis is back"
