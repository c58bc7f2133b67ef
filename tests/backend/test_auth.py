"""Who gets in: wrong, missing, non-ASCII and foreign credentials are a 401, never a 500."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from backend.app import create_app

SETUP = {"project": "7.1", "schema": '<View><Text name="t" value="$t"/><Rating name="r" toName="t"/></View>'}
EVENT = {"action": "PROJECT_UPDATED", "project": {"id": 7, "label_config": SETUP["schema"]}}


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
def guarded(services: Any) -> Any:
    """A client of the application with basic auth and a webhook secret."""
    changes = {"basic_auth_user": "studio", "basic_auth_pass": SecretStr("pässword")}
    locked = replace(services, settings=services.settings.model_copy(update=changes), webhook_secret="s3cret")
    return create_app(locked).test_client()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("studio", "wrong"),
        basic("é", "pässword"),
        basic("", ""),
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic"},
        {"Authorization": "Digest username=x"},
    ],
)
def test_wrong_credentials_are_refused_everywhere(guarded: Any, headers: dict[str, str]) -> None:
    for method, path in (("GET", "/health"), ("POST", "/setup"), ("POST", "/predict"), ("GET", "/metrics")):
        assert guarded.open(path, method=method, json={}, headers=headers).status_code == 401
    for path in ("/webhook", "/webhook/wrong"):
        assert guarded.post(path, json=EVENT, headers=headers).status_code == 401
    assert guarded.get("/admin/projects", headers=headers).status_code == 401


def test_right_credentials_open_label_studios_side(guarded: Any) -> None:
    assert guarded.post("/setup", json=SETUP, headers=basic("studio", "pässword")).status_code == 200
    assert guarded.get("/ready").status_code == 200


def test_the_webhook_takes_the_secret_in_header_or_path_and_basic_auth(guarded: Any) -> None:
    assert guarded.post("/webhook", json=EVENT, headers={"X-Webhook-Secret": "s3cret"}).status_code == 200
    assert guarded.post("/webhook/s3cret", json=EVENT).status_code == 200
    assert guarded.post("/webhook", json=EVENT, headers=basic("studio", "pässword")).status_code == 200
    assert guarded.post("/webhook", json=EVENT, headers={"X-Webhook-Secret": "ü"}).status_code == 401


def test_the_admin_token_opens_the_admin_api_only(guarded: Any) -> None:
    token = {"Authorization": "Bearer admin"}
    assert guarded.get("/admin/projects", headers=token).status_code == 200
    assert guarded.post("/setup", json=SETUP, headers=token).status_code == 401
    assert guarded.get("/admin/projects", headers={"Authorization": "Bearer ädmin"}).status_code == 401
