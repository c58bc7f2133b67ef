"""All of `doctor` on a real Redis, the real application and a stand-in for Label Studio; and the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import SecretStr
from werkzeug.serving import make_server

from backend.cli.main import main
from backend.connection.connect import run_connect
from backend.doctor.all_checks import examine_all
from backend.doctor.store import check_store
from backend.doctor.verdict import Verdict
from backend.embedded_redis.binary import find_redis_server, server_version
from backend.settings.settings import Settings
from tests.backend.connection.test_connect import Studio
from tests.conftest import RedisServer, serving

pytestmark = pytest.mark.redis


@pytest.fixture
def studio() -> Iterator[Studio]:
    with serving(Studio()) as server:
        yield server


@pytest.fixture
def connected(services: Any, settings: Settings, studio: Studio) -> Iterator[Settings]:
    """Settings of a running web process whose project 1 is connected to the stand-in."""
    from backend.routes.app import create_app

    with serving(make_server("127.0.0.1", 0, create_app(services), threaded=True)) as server:
        changes = {
            "port": server.server_port,
            "label_studio_url": f"http://127.0.0.1:{studio.server_port}",
            "label_studio_api_key": SecretStr("0" * 40),
        }
        wired = settings.model_copy(update=changes)
        list(run_connect(wired, 1))
        services.stores.projects.note_sync(1, {"drift": 0})
        services.stores.projects.mark_dirty(1, "test")
        services.stores.projects.note_sync(1, {"drift": 0})
        yield wired


def examined(settings: Settings) -> dict[str, Verdict]:
    return {verdict.check: verdict for verdict in examine_all(settings, 1)}


def test_the_redis_that_up_starts_is_in_order_whichever_is_found(own_redis: RedisServer) -> None:
    assert not own_redis.settings.redis_url
    verdicts, _ = check_store(own_redis.settings)
    assert [verdict.state for verdict in verdicts if verdict.check.startswith("redis")] == ["ok", "ok"]


def test_a_connected_project_is_in_order_and_each_fault_is_found(connected: Settings, studio: Studio) -> None:
    seen = examined(connected)
    wrong = {name: verdict for name, verdict in seen.items() if verdict.state not in ("ok", "skipped")}
    # No worker runs here; the stand-in knows legacy tokens only; CI's disk may be small.
    expected = {"learner", "trainer", "sync", "scheduler", "token of label studio"}
    if server_version(find_redis_server()) < (7, 0):
        expected.add("redis")  # REDIS_URL names it, and nobody maintains it any more
        assert wrong["redis"].state == "warn" and "Redis 7 or newer" in wrong["redis"].remedy
    assert set(wrong) - {"data directory"} == expected
    assert seen["project 1: webhook is sent"].state == "ok" and seen["models"].state == "ok"
    studio.blocks_webhooks = True
    studio.state = "DI"
    studio.webhooks[0]["is_active"] = False
    seen = examined(connected)
    assert "SSRF_PROTECTION_ENABLED=false" in seen["project 1: webhook is sent"].remedy
    assert "ML_BLOCK_LOCAL_IP=false" in seen["project 1: ml backend"].remedy
    assert "switched off" in seen["project 1: webhook"].evidence
    studio.token_is_valid = False
    seen = examined(connected)
    assert "not a valid token" in seen["token of label studio"].remedy
    assert "project 1: webhook" not in seen, "what cannot be asked is not guessed"


def test_doctor_changes_nothing_in_label_studio(connected: Settings, studio: Studio) -> None:
    before = json.dumps([studio.backends, studio.webhooks, studio.project])
    examined(connected)
    assert json.dumps([studio.backends, studio.webhooks, studio.project]) == before


def test_the_command_shows_remedies_and_ends_with_the_status(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["doctor", "--data-dir", str(tmp_path)])
    assert done.exit_code == 2 and "fail    redis" in done.output and "→ start `understudy up`" in done.output
    printed = CliRunner().invoke(main, ["doctor", "--data-dir", str(tmp_path), "--json"])
    verdicts = {entry["check"]: entry for entry in json.loads(printed.output)}
    assert printed.exit_code == 2 and verdicts["settings"]["state"] == "ok"
    assert all(entry["remedy"] for entry in verdicts.values() if entry["state"] in ("warn", "fail"))


def test_unusable_settings_are_a_verdict_not_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "0")
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 2 and "fail    settings: PORT='0'" in done.output
