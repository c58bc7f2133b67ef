"""`doctor` finds what is wrong and says how to mend it: each check on what was seen."""

from __future__ import annotations

import base64
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from backend.doctor.connection import judge_backend, judge_webhook, own_webhook
from backend.doctor.label_studio import judge_release, judge_token, read_token
from backend.doctor.learning import judge_sync, judge_trouble
from backend.doctor.liveness import find_silence
from backend.doctor.machine import check_base_model, check_data_dir, differences, judge_space
from backend.doctor.store import check_store, judge_clock, judge_durability, judge_version, judge_workers
from backend.doctor.verdict import exit_status, fail, ok, skipped, warn
from backend.doctor.web import judge_answers, judge_events, judge_protection, judge_ready
from backend.redis_access.workers import Workers
from backend.settings.settings import Settings

URL = "http://127.0.0.1:9090"
HOOK = {"id": 1, "url": f"{URL}/webhook", "is_active": True, "send_payload": True, "send_for_all_actions": True}
ROW = {"id": 1, "url": URL, "title": "understudy", "state": "CO", "auth_method": "NONE"}
PROJECT = {"id": 1, "model_version": "understudy", "sampling": "Uncertainty sampling"}
UP = {"model_class": "understudy"}


def make(**changes: Any) -> Settings:
    return Settings(_env_file=None, **changes)  # type: ignore[call-arg]


def states(verdicts: Any) -> list[str]:
    return [verdict.state for verdict in verdicts]


def test_the_exit_status_is_the_worst_of_all() -> None:
    fine = [ok("a", "b"), skipped("c", "d")]
    assert [exit_status(fine), exit_status([*fine, warn("e", "f", "g")])] == [0, 1]
    assert exit_status([fail("a", "b", "c"), warn("e", "f", "g")]) == 2


@pytest.mark.parametrize(("free", "state"), [(100 << 20, "fail"), (3 << 30, "warn"), (50 << 30, "ok")])
def test_little_room_is_told(free: int, state: str) -> None:
    assert judge_space("/d", free, 100 << 30).state == state


def test_a_missing_data_directory_and_a_missing_model_fail(tmp_path: Path) -> None:
    assert check_data_dir(make(data_dir=tmp_path / "none")).state == "fail"
    assert check_data_dir(make(data_dir=tmp_path)).state in ("ok", "warn")
    (tmp_path / "empty").mkdir()
    verdict = check_base_model(make(base_model=str(tmp_path / "empty")))
    assert verdict.state == "fail" and verdict.remedy
    assert check_base_model(make()).state == "ok"


def test_packages_other_than_the_pinned_ones_are_named() -> None:
    from importlib.metadata import version

    wanted = [f"click=={version('click')}", "redis==0.0.1", "no-such-package==1.0", 'gone==1; sys_platform == "x"']
    assert list(differences(wanted)) == [
        f"redis {version('redis')} instead of 0.0.1",
        "no-such-package is missing",
    ]


@pytest.mark.parametrize(
    ("version", "url", "state"),
    [
        ("redis 5.0.7", "redis://h", "fail"),
        ("redis 6.2.14", "redis://h", "warn"),
        ("redis 6.2.14", "", "ok"),
        ("valkey 7.2.4", "redis://h", "ok"),
    ],
)
def test_the_version_of_redis_is_judged(version: str, url: str, state: str) -> None:
    assert judge_version(make(redis_url=url), version, 0).state == state


def test_a_redis_that_could_lose_labels_fails_unless_that_was_accepted() -> None:
    problem = ["appendfsync is 'everysec', not 'always'"]
    assert judge_durability(make(), problem, True).state == "fail"
    assert judge_durability(make(allow_unsafe_redis=True), problem, True).state == "warn"
    assert judge_durability(make(allow_unsafe_redis=True), [], False).state == "fail", "its disk is full"
    assert judge_durability(make(), [], True).state == "ok"


@pytest.mark.parametrize(("ahead", "state"), [(0.3, "ok"), (-5, "warn"), (3600, "fail"), (-3600, "fail")])
def test_clocks_that_differ_are_told(ahead: float, state: str) -> None:
    assert judge_clock("clock", ahead).state == state


def test_every_process_that_is_silent_is_named() -> None:
    names = {"learn": ("a",), "train": (), "sync": ("b", "c")}
    workers = Workers(names, {"learn": 0, "train": 4, "sync": 0}, {"learn": 1, "train": 0, "sync": 0}, "")
    seen = {verdict.check: verdict.state for verdict in judge_workers(make(), workers)}
    assert seen == {"learner": "ok", "trainer": "fail", "sync": "ok", "scheduler": "fail"}


def test_redis_and_its_workers_are_seen(settings: Settings, stores: Any) -> None:
    stores.hold_lease("me", 10)
    stores._redis.sadd("rq:workers:learn", "rq:worker:a", "rq:worker:gone")
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
    stores._redis.hset("rq:worker:a", mapping={"last_heartbeat": now, "state": "idle"})
    verdicts, health = check_store(settings)
    seen = {verdict.check: verdict.state for verdict in verdicts}
    assert seen["redis keeps labels"] == seen["clock of redis"] == seen["learner"] == seen["scheduler"] == "ok"
    assert seen["sync"] == "fail"
    assert seen["trainer"] == "warn", "it may be started when a job waits"
    assert health is not None and health.workers.alive["learn"] == 1


def test_a_redis_that_is_away_is_told_without_its_password() -> None:
    (verdict,), health = check_store(make(redis_url="redis://:p4ssw0rd@127.0.0.1:1/0"))
    assert (verdict.state, health) == ("fail", None)
    assert "127.0.0.1:1" in verdict.evidence and "p4ssw0rd" not in verdict.evidence + verdict.remedy


@pytest.mark.parametrize(
    ("local", "public", "state"),
    [
        ((200, UP), (200, UP), "ok"),
        ((200, UP), (0, "Timeout"), "warn"),
        ((0, "ConnectionError"), (0, "ConnectionError"), "fail"),
        ((401, {}), (401, {}), "fail"),
        ((200, {"status": "UP"}), (200, {"status": "UP"}), "fail"),
    ],
)
def test_who_answers_is_judged(local: Any, public: Any, state: str) -> None:
    assert states(judge_answers(make(public_url="http://backend:9090"), local, public)) == [state]


def test_models_that_do_not_serve_are_told() -> None:
    assert judge_ready((503, {"ready": False, "reason": "waiting for Redis"})).state == "warn"
    assert judge_ready((200, {"ready": True, "stale": {"7 v2": "torn"}})).state == "fail"
    assert judge_ready((200, {"ready": True, "stale": {}})).state == "ok"


def test_events_that_came_or_were_refused_are_told() -> None:
    came = "understudy_last_event_timestamp_seconds 400.0\nprocess_start_time_seconds 100.0\n"
    refused = 'understudy_webhook_refused_total{status="401"} 2.0\n'
    assert judge_events((200, came), 1000) == ok("events", "last one 10 minutes ago")
    assert judge_events((200, came + refused), 1000).state == "warn"
    assert judge_events((200, came.replace("400.0", "0.0")), 1000).state == "skipped"
    assert judge_events((401, ""), 1000).state == "skipped"


def test_an_open_port_is_a_warning_only_where_others_can_reach_it() -> None:
    assert judge_protection(make()).state == "ok"
    assert judge_protection(make(host="0.0.0.0")).state == "warn"
    assert judge_protection(make(host="0.0.0.0", basic_auth_user="u", basic_auth_pass="p")).state == "ok"
    for half, effect in (("user", "an empty password"), ("pass", "nobody is asked")):
        told = judge_protection(make(**{f"basic_auth_{half}": "u"}))
        assert told.state == "warn" and effect in told.evidence, told


def jwt(**claims: Any) -> str:
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{part}.c2ln"


def test_both_kinds_of_token_are_told_apart() -> None:
    assert read_token("a" * 40) == ("legacy token", None)
    assert read_token(jwt(exp=2e9)) == ("personal access token", 2e9)
    assert read_token("x") == read_token("a.b.c") == ("token of unknown kind", None)
    assert judge_token(("legacy token", None), "u", 0).state == "warn"
    assert judge_token(("personal access token", 100 * 86400.0), "u", 0).state == "ok"
    assert "expires in 3 days" in judge_token(("personal access token", 3 * 86400.0), "u", 0).evidence


@pytest.mark.parametrize(("release", "state"), [("1.23.2", "ok"), ("1.17.0", "warn"), ("", "skipped")])
def test_the_release_of_label_studio_is_judged(release: str, state: str) -> None:
    assert judge_release(release).state == state


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"state": "DI"}, "fail"),
        ({"state": "ER", "error_message": "422 no Choices"}, "fail"),
        ({"url": "http://elsewhere"}, "fail"),
        ({"title": "other"}, "warn"),
        ({}, "ok"),
    ],
)
def test_the_row_of_the_backend_is_judged(changes: dict[str, Any], state: str) -> None:
    worst = {0: "ok", 1: "warn", 2: "fail"}
    verdicts = list(judge_backend(make(), 1, PROJECT, {**ROW, **changes}))
    assert worst[exit_status(verdicts)] == state
    assert all(verdict.remedy for verdict in verdicts if verdict.state != "ok")


def test_missing_credentials_in_the_row_fail() -> None:
    settings = make(basic_auth_user="u", basic_auth_pass=SecretStr("p"))
    right = {**ROW, "auth_method": "BASIC_AUTH", "basic_auth_user": "u", "basic_auth_pass_is_set": True}
    assert exit_status(judge_backend(settings, 1, PROJECT, right)) == 0
    for wrong in ({"auth_method": "NONE"}, {"basic_auth_user": "x"}, {"basic_auth_pass_is_set": False}):
        assert exit_status(judge_backend(settings, 1, PROJECT, {**right, **wrong})) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"is_active": False},
        {"send_payload": False},
        {"send_for_all_actions": False, "actions": ["ANNOTATION_CREATED"]},
        {"headers": {"X-Webhook-Secret": "old"}},
    ],
)
def test_a_webhook_that_loses_events_fails(changes: dict[str, Any]) -> None:
    right = {**HOOK, "headers": {"x-webhook-secret": "s3cret"}}
    assert judge_webhook(1, right, URL, "s3cret").state == "ok"
    verdict = judge_webhook(1, {**right, **changes}, URL, "s3cret")
    assert verdict.state == "fail" and "s3cret" not in verdict.evidence and "connect" in verdict.remedy


def test_the_secret_may_be_in_the_path() -> None:
    hook = {**HOOK, "url": f"{URL}/webhook/s3cret"}
    assert own_webhook([{**HOOK, "url": "http://other/webhook"}, hook], URL, "s3cret") == hook
    assert judge_webhook(1, hook, URL, "s3cret").state == "ok"
    assert own_webhook([hook], URL, "another") is None and judge_webhook(1, None, URL, "").state == "fail"


def test_a_reconciliation_that_failed_or_is_late_is_told() -> None:
    assert judge_sync(1, {"at": 100, "error": "401"}, "", 100, 10).state == "fail"
    assert judge_sync(1, {}, "", 100, 10).state == "warn"
    assert judge_sync(1, {"at": 100, "drift": 3}, "", 5000, 10).state == "warn"
    assert judge_sync(1, {"at": 100}, "a webhook was refused", 160, 10).state == "warn"
    assert judge_sync(1, {"at": 100, "drift": 3}, "", 160, 10) == ok(
        "project 1: reconciled", "1 minutes ago, 3 annotations had to be mended"
    )


def test_work_that_keeps_failing_is_told() -> None:
    (verdict,) = judge_trouble(1, {"refit": {"failures": 4, "retry_in": 80, "error": "MemoryError"}})
    assert verdict.state == "fail" and "4 times" in verdict.evidence and "MemoryError" in verdict.evidence


def test_a_container_knows_whether_its_process_lives(settings: Settings, stores: Any) -> None:
    assert "no sign of life" in find_silence(settings, "learner") and find_silence(settings, "scheduler")
    name = f"rq:worker:learn-{socket.gethostname()}-1"
    stores._redis.sadd("rq:workers:learn", name, "rq:worker:learn-elsewhere-1")
    stores._redis.hset("rq:worker:learn-elsewhere-1", mapping={"state": "busy"})
    assert find_silence(settings, "learner"), "another machine's worker is not this one"
    stores._redis.hset(name, mapping={"state": "busy"})
    stores.hold_lease("me", 10)
    assert (find_silence(settings, "learner"), find_silence(settings, "scheduler")) == ("", "")
    assert find_silence(settings.model_copy(update={"port": 1}), "web")
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1"})
    assert find_silence(away, "learner") == "", "it waits for Redis: a restart would not help"
