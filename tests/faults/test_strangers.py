"""Rows 32 and 36: wrong credentials, and right ones in the wrong browser."""

from __future__ import annotations

import base64
import hmac
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from backend.routes.app import create_app
from tests.support.events import CONFIG
from tests.support.tiny import PROJECT, settings, tiny_base  # noqa: F401

SETUP = {"project": "7.1", "schema": CONFIG}
EVENT = {"action": "PROJECT_UPDATED", "project": {"id": PROJECT, "label_config": CONFIG}}
PASSWORD, SECRET, TOKEN = "pässwörd:with:colons", "sécret", "tökén-🔑"


def basic(user: str, password: str, encoding: str = "utf-8") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode(encoding)).decode()}


WRONG = (
    *({}, basic("studio", "wrong"), basic("", ""), basic("é", PASSWORD), basic("studio", PASSWORD[:-1])),
    *(
        {"Authorization": text}
        for text in ("Bearer x", "Bearer", "Bearer ", "Basic", "Basic !!!", "Basic ====", "", " ")
    ),
    *(
        {"Authorization": text}
        for text in ("Digest username=x", "Bearer \xff\xfe", "Basic \xff", "x" * 7000, "Basic Og==")
    ),
    {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe\x00:\x80").decode()},
    {"Authorization": "Basic " + base64.b64encode(b"studio").decode()},
    {"X-Webhook-Secret": "\xff"},
    {"X-Webhook-Secret": ""},
)


@pytest.fixture
def locked(services: Any) -> Any:
    """A client of the application with every credential set, beyond ASCII."""
    changes = {"basic_auth_user": "studio", "basic_auth_pass": SecretStr(PASSWORD)}
    given = services.settings.model_copy(update=changes)
    return create_app(replace(services, settings=given, webhook_secret=SECRET, admin_token=TOKEN)).test_client()


def bearer(token: str, encoding: str = "utf-8") -> dict[str, str]:
    """As a client sends it: the bytes of `encoding`, which the server reads as Latin-1."""
    return {"Authorization": f"Bearer {token}".encode(encoding).decode("latin-1")}


def test_row_32_wrong_credentials_are_a_401_whatever_they_are_made_of(locked: Any) -> None:
    calls = (("GET", "/health"), ("POST", "/setup"), ("POST", "/predict"), ("GET", "/metrics"), ("POST", "/webhook"))
    calls = (*calls, ("POST", "/webhook/wrong"), ("POST", "/webhook/%ff%fe"), ("GET", "/admin/projects"))
    for headers in WRONG:
        for method, path in calls:
            reply = locked.open(path, method=method, json=EVENT if method == "POST" else None, headers=headers)
            if path == "/health" and "Authorization" not in headers:
                assert reply.status_code == 200  # a probe
                continue
            assert (reply.status_code, reply.get_json()["error"]) == (401, "unauthorized"), (path, headers)
            assert PASSWORD not in reply.text and SECRET not in reply.text and "Traceback" not in reply.text
    assert locked.get("/admin/projects", headers=bearer(TOKEN[:-1])).status_code == 401


def test_row_32_right_credentials_open_their_own_door(locked: Any) -> None:
    for encoding in ("utf-8", "latin-1"):
        assert locked.post("/setup", json=SETUP, headers=basic("studio", PASSWORD, encoding)).status_code == 200
        secret = {"X-Webhook-Secret": SECRET.encode(encoding).decode("latin-1")}
        assert locked.post("/webhook", json=EVENT, headers=secret).status_code == 200
    assert locked.post(f"/webhook/{SECRET}", json=EVENT).status_code == 200
    assert locked.post("/webhook", json=EVENT, headers=basic("studio", PASSWORD)).status_code == 200
    assert locked.get("/admin/projects", headers=bearer(TOKEN)).status_code == 200
    assert locked.get("/ready").status_code == 200
    assert locked.post("/setup", json=SETUP, headers=bearer(TOKEN)).status_code == 401


def test_row_32_as_much_is_compared_for_a_wrong_name_as_for_a_wrong_password(
    locked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: (compared.append(b), real(a, b))[1])
    seen = set()
    for headers in (
        {},
        basic("studio", "wrong"),
        basic("wrong", PASSWORD),
        basic("x", "x"),
        {"Authorization": "Basic !"},
    ):
        locked.get("/versions", headers=headers)
        seen.add(tuple(compared))
        compared.clear()
    assert len(seen) == 1 and len(seen.pop()) == 4


FOREIGN = (
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "https://[broken"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
)
BUTTONS = ("retrain", "rollback", "unpin", "resync")


def test_row_36_a_page_of_another_site_presses_no_button_and_none_is_a_link(client: Any, services: Any) -> None:
    token = {"Authorization": "Bearer admin"}
    services.stores.projects.save_config(PROJECT, CONFIG)
    paths = [f"/admin/projects/{PROJECT}/{button}" for button in BUTTONS] + ["/admin/jobs/train-7-a/cancel"]
    for path in paths:
        for headers in FOREIGN:
            reply = client.post(path, json={"version": "v1"}, headers={**token, **headers})
            assert (reply.status_code, reply.get_json()["error"]) == (403, "forbidden"), (path, headers)
        reply = client.get(path, headers=token)
        assert (reply.status_code, reply.headers["Allow"]) == (405, "POST")
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
            assert client.open(path, method=method, headers=token).status_code == 405
    for path in ("/webhook", "/train", "/predict", "/setup"):  # open on somebody's own machine, maybe
        body = {"action": "START_TRAINING", "project": {"id": PROJECT}}
        assert client.post(path, json=body, headers=FOREIGN[0]).status_code == 403
    assert services.stores.jobs.running(PROJECT) is None
    ours = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert client.post(paths[0], headers={**token, **ours}).status_code == 202
