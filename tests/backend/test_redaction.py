"""Every secret that was read is hidden, in whatever spelling a library shows it, wherever text leaves the process."""

from __future__ import annotations

import base64
import html
import io
import json
import logging
import string
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import requests
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from backend.errors import BackendError, LabelStudioError
from backend.jobs.attempt import attempt, describe
from backend.labelstudio.rest.client import LabelStudioClient
from backend.redaction import HIDDEN, OUR_WORDS, hide_all, hide_secrets, process_redactor
from backend.settings.settings import Settings
from backend.telemetry.logs import configure_logs
from tests.conftest import serving

SIGNS = string.ascii_letters + string.digits + string.punctuation + " äß"
SECRET = st.text(SIGNS, min_size=8, max_size=30).filter(lambda text: len(set(text.strip())) > 3)
ANY = st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=30).filter(
    lambda text: len(set(text.strip("\ufeff \t\r\n"))) > 3
)
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in a URL": lambda text: quote(text, safe=""),
    "in a path": quote,
    "in a form": quote_plus,
    "as Python shows it": repr,
    "as Python shows it in ASCII": ascii,
    "as Python shows its bytes": lambda text: repr(text.encode()),
    "in JSON": json.dumps,
    "in JSON beyond ASCII": lambda text: json.dumps(text, ensure_ascii=False),
    "in JSON of what Python shows": lambda text: json.dumps(repr(text)),
    "in HTML": html.escape,
    "in Base64": lambda text: base64.b64encode(text.encode()).decode(),
    "misread": lambda text: text.encode().decode("latin-1"),
    "in small letters": str.lower,
    "in an error of requests": lambda text: str(requests.exceptions.InvalidHeader(f"in header value: {text!r}")),
}
"""How a text shows in what libraries say."""


def inner(shown: str) -> str:
    """Without the quotes that Python and JSON put around it."""
    return shown.strip("'\"b")


@pytest.mark.parametrize("way", SPELLINGS)
@given(secret=ANY)
@example(secret="field0000case0000\r")
@example(secret="ключ от двери")
@example(secret="p@ss/w:rd#1 %x")
@settings(max_examples=60, deadline=None)
def test_a_secret_is_hidden_in_every_spelling(way: str, secret: str) -> None:
    process_redactor.cache_clear()
    process_redactor().learn(secret)
    shown = SPELLINGS[way](secret)
    hidden = hide_secrets(f"Illegal header value <{shown}> sent")
    assert HIDDEN in hidden
    assert shown not in hidden and inner(shown).strip() not in hidden


@given(user=SECRET.filter(lambda text: ":" not in text), password=SECRET)
@settings(max_examples=60, deadline=None)
def test_the_header_of_basic_auth_is_hidden(user: str, password: str) -> None:
    process_redactor.cache_clear()
    process_redactor().learn_login(user, password)
    for encoding in ("utf-8", "latin-1"):
        header = "Basic " + base64.b64encode(f"{user}:{password}".encode(encoding)).decode()
        assert header[6:].rstrip("=") not in hide_secrets(f"sent {header} there")


@given(password=SECRET.filter(lambda text: text == text.strip()))
@settings(max_examples=60, deadline=None)
def test_the_password_of_an_address_is_hidden_escaped_or_not(password: str) -> None:
    for url in (f"redis://:{password}@host:1/0", f"redis://me:{quote(password, safe='')}@host:1/0"):
        process_redactor.cache_clear()
        process_redactor().learn_address(url)
        for text in (f"Error 111 connecting to {url}", f"invalid port: {password!r}", quote(password, safe="")):
            assert password not in hide_secrets(text) and quote(password, safe="") not in hide_secrets(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Cannot connect to proxy http://me:pa@ss@proxy:3128/", "Cannot connect to proxy http://***@proxy:3128/"),
        ("Authorization: Bearer 0123456789abcdef0123", "Authorization: Bearer ***"),
        ("{'Authorization': 'Token 0123456789abcdef'}", "{'Authorization': 'Token ***'}"),
        ("b'Basic bWU6cGFzcw=='", "b'Basic ***'"),
        ("refresh eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.abc_-1 is over", "refresh *** is over"),
    ],
)
def test_credentials_of_which_nobody_told_are_known_by_their_form(text: str, shown: str) -> None:
    assert hide_secrets(text) == shown


@pytest.mark.parametrize("word", sorted(OUR_WORDS | {"key", "a", ""}))
def test_words_of_our_own_messages_stay(word: str) -> None:
    process_redactor().learn(word)
    text = "the admin token is needed: Authorization: Bearer ADMIN_TOKEN; https://a.b/@me and a@b.c stay; a key"
    assert hide_secrets(text) == text


def test_a_short_plain_word_is_hidden_where_it_stands_alone() -> None:
    process_redactor().learn("tables")
    assert hide_secrets("tables, 'Tables' and vegetables") == "***, '***' and vegetables"


def test_lists_and_objects_are_gone_through() -> None:
    process_redactor().learn("hush-hush")
    value = {"a": ["hush-hush", {"b": ("x hush-hush",)}], "n": 1, "f": 0.5, "none": None, "path": Path("/hush-hush/x")}
    assert hide_all(value) == {
        "a": ["***", {"b": ["x ***"]}],
        "n": 1,
        "f": 0.5,
        "none": None,
        "path": "PosixPath('/***/x')",
    }


def test_errors_of_ours_hold_no_secret_before_anything_is_cut() -> None:
    secret = "0123456789" * 4
    process_redactor().learn(secret)
    error = LabelStudioError("x" * 280 + secret, hint=f"use {secret}", status=401)
    assert secret[:10] not in describe(error) + str(error) + repr(error) + str(error.evidence)
    assert secret[:10] not in describe(ValueError("x" * 280 + secret)) and error.evidence["status"] == 401


@given(secret=SECRET)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_stored_of_a_failure_holds_no_secret(context: Any, secret: str) -> None:
    process_redactor.cache_clear()
    process_redactor().learn(secret)
    stores = context.stores

    def fail() -> str:
        raise ValueError(f"Illegal header value {secret.encode()!r}")

    stores.failures.release(7, "plan")
    assert attempt(stores.failures, 7, "plan", fail) == "failed"
    stores.failures.fail(7, "sync", "x" * 480 + secret)
    stores.projects.note_sync(7, {"error": f"{secret!r}", "hint": quote(secret)})
    stores.jobs.update("train-7-x", {"status": "queued", "project": 7, "message": f"failed: {secret}"})
    stores.prediction_runs.finish(7, "run", "failed", secret)
    redis = stores._redis
    kept = str({key: redis.hgetall(key) for key in redis.keys("*") if redis.type(key) == "hash"})
    assert "Illegal header value" in kept
    assert secret not in kept and repr(secret)[1:-1] not in kept and secret[:20] not in kept.replace("x" * 8, "")


@pytest.fixture
def printed(tmp_path: Path) -> Iterator[io.StringIO]:
    """What a process would write to its log."""
    import threading

    root, hook = logging.getLogger(), threading.excepthook
    before = root.handlers[:], root.level
    configure_logs(Settings(data_dir=tmp_path, log_level="DEBUG"), "web")
    stream = io.StringIO()
    root.handlers[0].setStream(stream)  # type: ignore[attr-defined]
    yield stream
    root.handlers[:], threading.excepthook = before[0], hook
    root.setLevel(before[1])


@given(secret=SECRET.filter(lambda text: '"' not in text and "\\" not in text))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_log_line_holds_a_secret(printed: io.StringIO, secret: str) -> None:
    process_redactor.cache_clear()
    process_redactor().learn(secret)
    log = logging.getLogger("test")
    log.warning("outcome %s", {"error": secret, "bytes": secret.encode(), "more": [repr(secret)]})
    log.warning(secret, extra={"reason": [secret], "error": ValueError(secret)})
    try:
        raise BackendError(secret) from ValueError(f"header {secret!r}")
    except BackendError:
        log.exception("failed %s", quote(secret))
    lines = printed.getvalue()
    assert secret not in lines and json.dumps(secret)[1:-1] not in lines and quote(secret) not in lines
    assert "failed" in lines and all(json.loads(line) for line in lines.splitlines())


def test_the_end_of_a_thread_is_a_line_of_the_log(printed: io.StringIO) -> None:
    import threading

    process_redactor().learn("hush-hush")

    def end() -> None:
        raise ValueError("hush-hush")

    thread = threading.Thread(target=end, name="follower")
    thread.start()
    thread.join()
    (line,) = printed.getvalue().splitlines()
    assert json.loads(line)["event"] == "follower ended" and "ValueError: ***" in line and "hush" not in line


class Deaf(BaseHTTPRequestHandler):
    """Answers anything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: Any) -> None:
        """Not on the terminal."""


@pytest.mark.parametrize("end", ["\r", "\n", "\x00", "\u2028", "ж", "\u201d", "\ufeff"])
def test_a_token_that_no_header_carries_is_in_no_error_of_the_client(end: str) -> None:
    key = "field0000case0000made0000up0000token00000" + end
    with serving(HTTPServer(("127.0.0.1", 0), Deaf)) as server:
        client = LabelStudioClient(f"http://127.0.0.1:{server.server_port}", key, attempts=1)
        with client, pytest.raises(LabelStudioError) as refused:
            client.whoami()
    assert refused.value.message == "LABEL_STUDIO_API_KEY cannot be sent in a header: make a new token"
    assert refused.value.__suppress_context__


def test_a_traceback_that_rq_keeps_holds_no_secret(context: Any) -> None:
    from backend.redis_access.job_queue import AllowedJob
    from backend.workers.worker import build_worker

    process_redactor().learn("hush-hush-hush")
    context.stores.jobs.enqueue_refit(7)
    worker = build_worker(context.settings, "learn")
    queue: Any = worker.queues[0]
    job = AllowedJob.fetch(queue.job_ids[0], connection=queue.connection, serializer=queue.serializer)
    job.retries_left = 0
    worker.handle_job_failure(job, queue, exc_string="ValueError: hush-hush-hush")
    result = job.latest_result()
    assert result is not None and result.exc_string == "ValueError: ***"
    worker.connection.close()
