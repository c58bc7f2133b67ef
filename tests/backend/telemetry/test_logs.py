"""What must never be in a log is not, whatever is logged; and every line says to which request or job it belongs."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from backend.jobs.job_log import outcome_of
from backend.redis_access.connection import connect
from backend.redis_access.job_kinds import REFIT
from backend.redis_access.job_queue import AllowedJob
from backend.settings.settings import Settings
from backend.telemetry.logs import configure_logs
from tests.support.rig import choices_config

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def printed(tmp_path: Path) -> Iterator[io.StringIO]:
    """What the web process would write to stderr."""
    (tmp_path / "webhook_secret").write_text("made-secret-9876\n")
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logs(Settings(data_dir=tmp_path, admin_token="planted-token-1234"), "web")  # type: ignore[arg-type]
    stream = io.StringIO()
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    yield stream
    root.handlers[:], _ = before[0], root.setLevel(before[1])


@pytest.fixture
def lines(printed: io.StringIO) -> Lines:
    """All lines so far, each parsed as JSON."""
    return lambda: [json.loads(line) for line in printed.getvalue().splitlines()]


def test_planted_secrets_do_not_show(lines: Lines) -> None:
    log = logging.getLogger("test")
    log.warning("calling with %s and %s", "planted-token-1234", "made-secret-9876")
    log.warning("line one\nline two", extra={"access_token": "x"})
    try:
        raise ValueError("planted-token-1234")
    except ValueError:
        log.exception("failed")
    seen = lines()
    assert "planted-token" not in str(seen) and "made-secret" not in str(seen)
    assert len(seen) == 3, "one line each, also with line breaks and tracebacks"
    assert seen[0]["event"] == "calling with *** and ***" and seen[0]["process"] == "web"


def test_nothing_that_is_logged_can_make_a_line_of_its_own(printed: io.StringIO) -> None:
    forged = 'x\r\n{"event": "all is well"}\x1b[2J\u2028\x00\x85'
    logging.getLogger("test").warning("title %s", forged)
    line = printed.getvalue()
    assert line.count("\n") == 1 and json.loads(line)["event"] == f"title {forged}"
    assert not re.search(r"[^ -~\n]", line), "control characters are escaped"


def send(client: Any, **headers: str) -> Any:
    body = {"action": "ANNOTATION_CREATED", "project": {"id": 7, "label_config": choices_config(["A", "B"])}}
    result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["A"]}}]
    annotation = {"id": 1, "task": 1, "result": result, "updated_at": "2026-01-01T00:00:01Z"}
    body |= {"annotation": annotation, "task": {"id": 1, "data": {"text": "hello"}}}
    return client.post("/webhook", json=body, headers=headers)


def test_a_sane_request_id_is_kept_and_another_one_is_made(client: Any) -> None:
    assert client.get("/health", headers={"X-Request-ID": "abc-1.2:3"}).headers["X-Request-ID"] == "abc-1.2:3"
    for given in ("", "a b", "x" * 65, "<script>", "é", "-a"):
        made = client.get("/health", headers={"X-Request-ID": given}).headers["X-Request-ID"]
        assert re.fullmatch(r"[0-9a-f]{16}", made)
    assert client.get("/nowhere").headers["X-Request-ID"], "also when nothing is there"


def test_lines_carry_request_and_project_and_the_job_that_follows_carries_them_on(
    client: Any, settings: Settings, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.jobs.learn import refit
    from backend.workers.worker import Worker

    log = logging.getLogger("test")
    monkeypatch.setattr("backend.routes.labelstudio.take_event", noisy("backend.routes.labelstudio", log, "taken"))
    assert send(client, **{"X-Request-ID": "click-1"}).status_code == 200
    log.warning("of gunicorn")
    (line,) = [line for line in lines() if line["event"] == "taken"]
    assert (line["request"], line["project"]) == ("click-1", 7)
    (line,) = [line for line in lines() if line["event"] == "of gunicorn"]
    assert "request" not in line, "the thread has forgotten it"

    monkeypatch.setattr(refit, "learn", lambda work, project: log.warning("learning") or "unchanged")
    redis = connect(settings, binary=True, blocking=True)
    queue = Queue("learn", connection=redis, serializer=JSONSerializer, job_class=AllowedJob)
    (job,) = queue.job_ids
    worker = Worker([queue], connection=redis, serializer=JSONSerializer, job_class=AllowedJob)
    worker.work(burst=True, with_scheduler=False)
    redis.close()
    (line,) = [line for line in lines() if line["event"] == "learning"]
    assert (line["request"], line["project"], line["job"]) == ("click-1", 7, job)
    log.warning("afterwards")
    (line,) = [line for line in lines() if line["event"] == "afterwards"]
    assert "job" not in line
    assert client.get("/metrics").text.count('understudy_jobs_total{kind="refit",outcome="unchanged"} 1.0') == 1


def noisy(module: str, log: logging.Logger, event: str) -> Callable[..., Any]:
    """The module's `take_event`, which also logs."""
    from importlib import import_module

    original = import_module(module).take_event

    def take(*args: Any) -> Any:
        log.warning(event)
        return original(*args)

    return take


def test_a_job_that_fails_or_is_forged_is_counted_as_failed(context: Any, settings: Settings) -> None:
    from backend.workers.worker import Worker

    redis = connect(settings, binary=True, blocking=True)
    queue = Queue("learn", connection=redis, serializer=JSONSerializer, job_class=AllowedJob)
    queue.enqueue_call("os.getcwd")
    queue.enqueue_call(REFIT, args=["not a project"])
    Worker([queue], connection=redis, serializer=JSONSerializer, job_class=AllowedJob).work(burst=True)
    redis.close()
    assert context.stores.counters.read().jobs == {("unknown", "failed"): 1, ("refit", "failed"): 1}


def test_gunicorn_has_no_handlers_of_its_own(lines: Lines) -> None:
    from gunicorn.config import Config

    from backend.telemetry.gunicorn_logger import JsonLogger

    config = Config()
    config.set("errorlog", "-")
    JsonLogger(config).warning("Invalid request: %s", "a\r\nb")
    assert [line["event"] for line in lines()] == ["Invalid request: a\r\nb"]


def test_libraries_that_sign_requests_are_quiet_even_at_debug(lines: Lines) -> None:
    logging.getLogger().setLevel(logging.DEBUG)
    for name in ("botocore.auth", "aiobotocore.credentials", "azure.core.pipeline"):
        logging.getLogger(name).info("Found credentials in environment variables.")
        logging.getLogger(name).debug("Authorization: AWS4-HMAC-SHA256 Signature=0123")
        logging.getLogger(name).warning("retrying")
    assert [line["event"] for line in lines()] == ["retrying"] * 3


@pytest.mark.parametrize(
    ("kind", "returned", "outcome"),
    [
        ("refit", "published", "published"),
        ("refit", "unusable config: no Choices", "unusable_config"),
        ("refit", "waits 10 s after a failure", "waits"),
        ("sync", "done", "done"),
        ("sync", "http://x does not answer", "failed"),
        ("train", "rejected", "rejected"),
        ("train", None, "failed"),
        ("unknown", "done", "failed"),
    ],
)
def test_outcomes_are_few_words(kind: str, returned: Any, outcome: str) -> None:
    assert outcome_of(kind, returned) == outcome
