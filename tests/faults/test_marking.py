"""Redis is away while text is marked: people go on, no label is taken for stored, and what was suggested is known
afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backend.settings.settings import Settings
from tests.backend.routes.test_marking import eventually, predict, webhook
from tests.conftest import RedisServer
from tests.support.marking import MARKS, PROJECT
from tests.support.spans import ODD_TEXT

pytestmark = pytest.mark.redis

TASK = {"id": 3, "data": {"text": ODD_TEXT}}


@pytest.fixture
def settings(own_redis: RedisServer, tmp_path: Path) -> Settings:
    url = own_redis.settings.effective_redis_url
    return Settings(data_dir=tmp_path / "data", redis_url=url, poll_seconds=0.2, admin_token="admin")  # type: ignore[arg-type]


def test_pages_are_answered_while_redis_is_away_and_what_they_began_with_is_stored_later(
    client: Any, services: Any, own_redis: RedisServer
) -> None:
    assert predict(client, MARKS, [{"id": 1, "data": {"text": "Ada met Bob."}}]).status_code == 200
    own_redis.kill()
    reply = predict(client, MARKS, [TASK])
    (item,) = reply.get_json()["results"]
    assert reply.status_code == 200 and len(item["result"]) >= 2
    value = {"start": 0, "end": 12, "labels": ["PER"]}
    region = {"id": "m", "from_name": "label", "to_name": "text", "type": "labels", "value": value, "origin": "manual"}
    text = f"{ODD_TEXT} Ada Lovelace left."
    asked = predict(client, MARKS, [{"id": 3, "data": {"text": text}}], context={"result": [region]})
    (marked,) = asked.get_json()["results"]
    assert asked.status_code == 200 and text.rindex("Ada") in [one["value"]["start"] for one in marked["result"]]
    (kept, *gone) = item["result"]
    refused = webhook(client, MARKS, 3, TASK["data"], [kept], parent_prediction=1)
    assert (refused.status_code, refused.get_json()["error"]) == (503, "store_unavailable")
    own_redis.start()
    eventually(lambda: services.stores.suggestions.of_tasks(PROJECT, [3]))
    assert eventually(lambda: services.stores.projects.dirty(PROJECT)), "what was refused is fetched"
    assert webhook(client, MARKS, 3, TASK["data"], [kept], parent_prediction=1).status_code == 200
    (record,) = services.stores.examples.of_task(PROJECT, 3)
    assert len(record.spans["label"]) == 1 and len(record.removed["label"]) == len(gone)
