"""`connect` through the real client, against a stand-in that treats the five calls as Label Studio 1.23.2 was recorded
to do, refusals included. tests/e2e does the same with the real one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from backend.connection.connect import run_connect
from backend.errors import LabelStudioError, SettingsError
from backend.settings.settings import Settings
from tests.conftest import serving
from tests.support import tabs

BLOCKED = {"status_code": 403, "detail": "URL resolves to a reserved network address (block: 127.0.0.0/8)"}
BACKEND_URL = "http://127.0.0.1:9090"


class Studio(ThreadingHTTPServer):
    """One project, its backends and webhooks. `blocks_backends`, `blocks_webhooks`: the two defaults of 1.23."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.project: dict[str, Any] = {
            "id": 1,
            "title": "mails",
            "model_version": "",
            "sampling": "Sequential sampling",
        }
        self.backends: list[dict[str, Any]] = []
        self.webhooks: list[dict[str, Any]] = []
        self.blocks_backends = self.blocks_webhooks = False
        self.unreachable = ""
        self.state = "CO"
        self.token_is_valid = True
        self.changes: list[tuple[str, str]] = []
        self.tabs = tabs.Tabs()

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if method != "GET":
            self.changes.append((method, path))
        kind, _, number = path.removeprefix("/api").strip("/").partition("/")
        if not self.token_is_valid:
            return 401, {"detail": "Invalid token."}
        if path.startswith(tabs.PATH):
            return self.tabs.answer(method, path, body)
        if method == "GET":
            rows = [{"state": self.state, "basic_auth_pass_is_set": True, **row} for row in self.backends]
            about = {"version": {"release": "1.23.2"}, "current-user": {"email": "a@example.com"}, "health": {}}
            return 200, {"projects": self.project, "ml": rows, "webhooks": self.webhooks, **about}[kind]
        handler = {"projects": self.change_project, "ml": self.change_backend, "webhooks": self.change_webhook}[kind]
        return handler(body, int(number) if number else None)

    def change_project(self, body: dict[str, Any], number: int | None) -> tuple[int, Any]:
        wanted = body.get("model_version")
        if wanted and wanted not in [backend["title"] for backend in self.backends]:
            return 400, {"detail": "Model version doesn't exist either as live model or as static predictions."}
        self.project |= body
        return 200, self.project

    def change_backend(self, body: dict[str, Any], number: int | None) -> tuple[int, Any]:
        if self.blocks_backends:
            return 403, BLOCKED
        if not {"title", "url", "project"} <= set(body):
            return 500, {"detail": "KeyError"}
        if self.unreachable:
            return 400, {"validation_errors": {"non_field_errors": [self.unreachable]}}
        if number is not None:
            backend = next(backend for backend in self.backends if backend["id"] == number)
            if self.project["model_version"] == backend["title"]:
                self.project["model_version"] = body["title"]
            backend |= body
            return 200, backend
        self.backends.append({**body, "id": len(self.backends) + 1})
        url = f"{body['url'].rstrip('/')}/webhook"
        if not any(hook["url"] == url for hook in self.webhooks):
            status, refusal = self.change_webhook({"url": url, "headers": {}}, None)
            if status == 403:  # raised inside the database's save: the row stays, the rest does not happen
                return status, refusal
        self.project["model_version"] = self.project["model_version"] or body["title"]
        return 201, self.backends[-1]

    def change_webhook(self, body: dict[str, Any], number: int | None) -> tuple[int, Any]:
        if self.blocks_webhooks:
            return 403, BLOCKED
        if number is None:
            made = {"is_active": True, "send_payload": True, "send_for_all_actions": True}
            self.webhooks.append({**made, **body, "id": len(self.webhooks) + 1})
            return 201, self.webhooks[-1]
        hook = next(hook for hook in self.webhooks if hook["id"] == number)
        hook |= body
        return 200, hook


class Handler(BaseHTTPRequestHandler):
    server: Studio

    def handle_call(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        status, reply = self.server.answer(self.command, urlsplit(self.path).path, body)
        payload = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = do_PATCH = do_DELETE = handle_call

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def studio() -> Iterator[Studio]:
    with serving(Studio()) as server:
        yield server


@pytest.fixture
def settings(studio: Studio, tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path,
        public_url=BACKEND_URL,
        label_studio_url=f"http://127.0.0.1:{studio.server_port}",
        label_studio_api_key="0" * 40,
        basic_auth_user="understudy",
        basic_auth_pass="p4ss",
        webhook_secret="s3cret",
        _env_file=None,
    )


def connect(settings: Settings, **options: Any) -> str:
    return "\n".join(run_connect(settings, 1, **options))


def test_a_project_gets_backend_webhook_secret_and_sampling(studio: Studio, settings: Settings) -> None:
    told = connect(settings)
    (backend,) = studio.backends
    assert (backend["url"], backend["title"], backend["auth_method"]) == (BACKEND_URL, "understudy", "BASIC_AUTH")
    assert (backend["basic_auth_user"], backend["basic_auth_pass"]) == ("understudy", "p4ss")
    (hook,) = studio.webhooks
    assert (hook["url"], hook["headers"]) == (f"{BACKEND_URL}/webhook", {"X-Webhook-Secret": "s3cret"})
    assert studio.project["sampling"] == "Uncertainty sampling"
    assert studio.project["model_version"] == "understudy"
    assert "created, with basic auth" in told and "p4ss" not in told and "s3cret" not in told


def test_connecting_again_makes_nothing_twice(studio: Studio, settings: Settings) -> None:
    connect(settings)
    before = json.dumps([studio.backends, studio.webhooks, studio.project])
    studio.changes.clear()
    assert "Webhook is in order" in connect(settings)
    assert json.dumps([studio.backends, studio.webhooks, studio.project]) == before
    assert studio.changes == [("PATCH", "/api/ml/1")]


def test_new_credentials_and_a_new_secret_are_brought_along(studio: Studio, settings: Settings) -> None:
    connect(settings)
    studio.webhooks[0]["headers"]["X-Other"] = "theirs"
    connect(settings.model_copy(update={"basic_auth_user": "", "webhook_secret": type(settings.webhook_secret)("new")}))
    assert studio.backends[0]["auth_method"] == "NONE"
    assert studio.webhooks[0]["headers"] == {"X-Other": "theirs", "X-Webhook-Secret": "new"}


@pytest.mark.parametrize("name", ["is_active", "send_payload", "send_for_all_actions"])
def test_a_webhook_that_was_restricted_sends_everything_again(studio: Studio, settings: Settings, name: str) -> None:
    connect(settings)
    studio.webhooks[0][name] = False
    assert "Webhook updated" in connect(settings)
    assert studio.webhooks[0][name] is True


def test_a_new_url_moves_the_connection_and_its_webhook(studio: Studio, settings: Settings) -> None:
    connect(settings)
    connect(settings.model_copy(update={"public_url": "http://10.0.0.5:9090"}))
    assert [backend["url"] for backend in studio.backends] == ["http://10.0.0.5:9090"]
    assert [hook["url"] for hook in studio.webhooks] == ["http://10.0.0.5:9090/webhook"]


def test_the_name_of_a_connection_is_kept_unless_another_is_given(studio: Studio, settings: Settings) -> None:
    connect(settings, title="queue-1")
    connect(settings)
    assert studio.backends[0]["title"] == studio.project["model_version"] == "queue-1"
    connect(settings, title="mine")
    assert studio.backends[0]["title"] == studio.project["model_version"] == "mine"


def test_the_backends_of_others_are_left_alone(studio: Studio, settings: Settings) -> None:
    other = {"id": 1, "url": "http://other", "title": "other", "project": 1}
    studio.backends.append(dict(other))
    studio.webhooks.append({"id": 1, "url": "http://other/webhook", "headers": {}, "is_active": True})
    connect(settings, sampling=False)
    assert studio.backends[0] == other and len(studio.backends) == 2
    assert studio.webhooks[0]["headers"] == {}
    assert studio.project["sampling"] == "Sequential sampling"


def test_a_refused_private_address_names_both_switches(studio: Studio, settings: Settings) -> None:
    studio.blocks_backends = studio.blocks_webhooks = True
    with pytest.raises(LabelStudioError) as caught:
        connect(settings)
    assert "ML_BLOCK_LOCAL_IP=false\n    SSRF_PROTECTION_ENABLED=false" in caught.value.message
    assert "environment of Label Studio (not of understudy)" in caught.value.message


def test_half_a_connection_is_recognised_and_completed_once_the_switch_is_set(
    studio: Studio, settings: Settings
) -> None:
    studio.blocks_webhooks = True
    for _ in range(2):
        with pytest.raises(LabelStudioError, match="no annotation would\never arrive"):
            connect(settings)
    assert len(studio.backends) == 1 and studio.webhooks == [] and studio.project["model_version"] == ""
    studio.blocks_webhooks = False
    assert "Webhook created, with the secret" in connect(settings)
    assert len(studio.backends) == len(studio.webhooks) == 1
    assert studio.project["model_version"] == "understudy"


def test_a_backend_that_label_studio_cannot_reach_is_explained(studio: Studio, settings: Settings) -> None:
    studio.unreachable = f"Can't connect to ML backend {BACKEND_URL}, health check failed."
    with pytest.raises(LabelStudioError, match="set PUBLIC_URL to it"):
        connect(settings)


def test_without_a_token_nothing_is_tried(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY"):
        connect(Settings(data_dir=tmp_path, _env_file=None))
