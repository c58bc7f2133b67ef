"""/predict under load, over HTTP: refusals that say when to come again, a deadline, and what /metrics tells of it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.rig import choices_config

CONFIG = choices_config(["refund", "delivery"])


def predict(client: Any, texts: list[str]) -> Any:
    tasks = [{"id": number, "data": {"text": text}} for number, text in enumerate(texts, 1)]
    return client.post("/predict", json={"tasks": tasks, "project": "7.1", "label_config": CONFIG})


def sample(client: Any, line: str) -> float:
    """The value of a line of /metrics."""
    [found] = [row for row in client.get("/metrics").text.splitlines() if row.startswith(f"{line} ")]
    return float(found.rsplit(" ", 1)[1])


def test_too_many_requests_at_once_are_refused_with_a_time_to_come_again(client: Any, services: Any) -> None:
    with ExitStack() as stack:
        for _ in range(services.admission.most):
            stack.enter_context(services.admission.enter())
        refused = predict(client, ["hello"])
        assert refused.status_code == 503 and int(refused.headers["Retry-After"]) >= 1
        assert refused.get_json()["error"] == "overloaded"
        assert client.get("/health").status_code == 200
        setup = client.post("/setup", json={"project": "7.1", "schema": CONFIG})
        assert setup.status_code == 200
    assert predict(client, ["hello"]).status_code == 200, "there is room again"
    assert sample(client, "understudy_predict_refused_total") == 1


def test_a_request_behind_more_than_its_deadline_is_refused(
    client: Any, services: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert predict(client, ["hello"]).status_code == 200
    monkeypatch.setattr(services.predictors, "_seconds_of", lambda queue: services.settings.predict_deadline + 30)
    refused = predict(client, ["another"])
    assert refused.status_code == 503 and 30 <= int(refused.headers["Retry-After"]) <= 120
    assert predict(client, ["hello"]).status_code == 200, "what is known already does not wait"


def test_a_slot_is_given_back_whatever_happens(client: Any, services: Any) -> None:
    for _ in range(services.admission.most + 2):
        assert client.post("/predict", json={"tasks": [1], "project": "7.1", "label_config": "<View/>"}).status_code
        assert client.post("/predict", json={"tasks": 7, "project": "7.1", "label_config": CONFIG}).status_code == 400
    assert predict(client, ["hello"]).status_code == 200


def test_metrics_tell_every_stage_cache_and_queue(client: Any) -> None:
    predict(client, ["my refund", "late delivery"])
    predict(client, ["my refund", "another delivery"])
    for stage in ("parse", "read", "reply"):
        assert sample(client, f'understudy_stage_seconds_count{{stage="{stage}"}}') == 2, stage
    for stage in ("queue", "compute"):
        assert sample(client, f'understudy_stage_seconds_count{{stage="{stage}"}}') == 2, stage
    assert sample(client, "understudy_chunk_texts_sum") == 3, "one was known"
    assert sample(client, 'understudy_cache_lookups_total{cache="answers",outcome="hit"}') == 1
    assert sample(client, 'understudy_cache_lookups_total{cache="answers",outcome="miss"}') == 3
    assert sample(client, 'understudy_cache_lookups_total{cache="configs",outcome="hit"}') >= 1
    assert sample(client, 'understudy_cache_lookups_total{cache="features",outcome="miss"}') >= 3
    for cache in ("answers", "features"):
        assert sample(client, f'understudy_cache_bytes{{cache="{cache}"}}') > 0
    assert sample(client, 'understudy_encoder_seconds_total{stage="forward"}') > 0
    assert sample(client, 'understudy_encoder_seconds_total{stage="tokenise"}') > 0
    assert sample(client, "understudy_encoder_tokens_total") >= 3
    assert sample(client, "understudy_queued_tasks") == 0
