"""Label configs with thousands of labels: no request waits until all names are read."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from backend.labelstudio.task_spec import parse_label_config
from backend.serving.preparations import Preparations, Preparing, is_large
from tests.backend.serving.test_registry import wait_for
from tests.support.rig import choices_config

LARGE = choices_config([f"Category number {number:05d} of the shop" for number in range(1_200)])


def ask(client: Any) -> Any:
    tasks = [{"id": number, "data": {"text": "category number 7"}} for number in (1, 2)]
    reply = client.post("/predict", json={"project": "98.1", "label_config": LARGE, "tasks": tasks})
    assert reply.status_code == 200
    return reply.get_json()


def test_tasks_are_declined_until_the_names_are_read_and_answered_then(
    services: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.serving.registry.PREPARATION_WAIT_SECONDS", 0.01)
    base, may_read = services.registry.encoders.base, threading.Event()
    embed = type(base).embed

    def slowly(self: Any, texts: Any, *more: Any, **options: Any) -> Any:
        if len(texts) > 1_000:
            assert may_read.wait(120)
        return embed(self, texts, *more, **options)

    monkeypatch.setattr(type(base), "embed", slowly)
    began = time.monotonic()
    assert client.post("/setup", json={"project": "98.1", "schema": LARGE}).get_json() == {"model_version": "v0"}
    assert ask(client) == {"results": [[], []], "model_version": "v0"}
    assert time.monotonic() - began < 100, "it has waited for the texts"
    assert 'understudy_predictions_declined_total{reason="preparing"} 2.0' in client.get("/metrics").text
    may_read.set()
    wait_for(lambda: all(ask(client)["results"]), 30.0)
    assert [item["model_version"] for item in ask(client)["results"]] == ["v0", "v0"]


def test_one_that_fails_is_tried_again_at_the_next_request(
    services: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    registry, spec = services.registry, parse_label_config(LARGE)
    with monkeypatch.context() as broken:
        broken.setattr("backend.serving.registry.adapt", lambda *given: 1 // 0)
        with pytest.raises(Preparing):
            registry.model_for(97, spec, 1.0)
    assert "could not be made" in caplog.text
    wait_for(lambda: not registry._preparations._running)
    monkeypatch.setattr("backend.serving.registry.PREPARATION_WAIT_SECONDS", 30.0)
    assert registry.model_for(97, spec, 30.0).version == "v0"


def test_a_key_is_made_once_however_many_ask() -> None:
    made: list[int] = []
    preparations: Preparations[str] = Preparations()
    may_end = threading.Event()

    def make() -> Any:
        made.append(1)
        assert may_end.wait(120)
        return object()

    asked = [preparations.start("key", make, lambda model: None) for _ in range(5)]
    may_end.set()
    assert all(done.wait(120) for done in asked) and made == [1]


def test_names_of_marks_are_read_aside_as_well() -> None:
    labels = "".join(f'<Label value="Part number {number:05d}"/>' for number in range(1_200))
    marks = f'<Labels name="label" toName="text">{labels}</Labels>'
    assert is_large(parse_label_config(f'<View><Text name="text" value="$text"/>{marks}</View>'))
