"""What a real Label Studio 1.23.2 sent, replayed: no request may fail, and no reply may break Label Studio."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

PAYLOADS = sorted((Path(__file__).parent / "payloads").glob("*.json"))


def requests_of(path: Path) -> list[dict[str, Any]]:
    """The recorded requests of one scenario; sub-paths and credentials in URLs belong to other deployments."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [row for row in rows if not row["path"].startswith("/sub")]


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_every_recorded_request_gets_a_reply_that_label_studio_takes(path: Path, client: Any) -> None:
    for row in requests_of(path):
        reply = client.open(row["path"], method=row["method"], json=row["body"])
        assert reply.status_code in (200, 201, 422), f"{row['step']}: {reply.status} {reply.text[:300]}"
        assert isinstance(reply.get_json(), dict), f"{row['step']}: Label Studio needs an object"
        if reply.status_code == 422:
            assert reply.status.isprintable() and len(reply.status) > len("422 ")
        elif row["path"] == "/setup":
            assert isinstance(reply.get_json()["model_version"], str)
        elif row["path"] == "/predict":
            check_results(reply.get_json()["results"], row["body"]["tasks"])


def check_results(results: list[Any], tasks: list[Any]) -> None:
    """One item per task: an object without any null, or an empty list."""
    assert len(results) == len(tasks)
    assert "null" not in json.dumps(results)
    for item in results:
        if item != []:
            assert isinstance(item["result"], list) and isinstance(item["model_version"], str)
            assert 0 <= item["score"] <= 1


def test_every_recorded_config_has_a_verdict(client: Any) -> None:
    bodies = [row["body"] for path in PAYLOADS for row in requests_of(path) if row["path"] == "/setup"]
    verdicts = {client.post("/setup", json=body).status_code for body in bodies}
    assert verdicts == {200, 422}, "the recordings hold configs of both kinds"
