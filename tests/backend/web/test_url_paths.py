"""Paths as people type them lead to the same routes, under the same policy, without a redirect."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from backend.routes.app import create_app
from backend.telemetry.log_throttle import EVERY_SECONDS, KEYS_KEPT, LogThrottle
from backend.web.policy import POLICIES
from backend.web.url_paths import prefix_of, tidy_path
from tests.backend.routes.test_routes import CONFIG, annotation
from tests.backend.web.test_policy import path_of, routes_of

ADMIN = {"Authorization": "Bearer admin"}


def typed(path: str) -> list[str]:
    """`path` as somebody may type it, or a client may join it to a base URL that ends in a slash."""
    return [path, f"{path}/", f"{path}//", f"/{path}", f"//{path}/", path.replace("/", "//")]


def send(client: Any, method: str, path: str, **given: Any) -> Any:
    """As the server hands it on: decoded, each byte a character."""
    seen = unquote(path, "latin-1")
    return client.open("/", method=method, environ_overrides={"PATH_INFO": seen}, **given)


@given(st.text("/ab.%é", max_size=12))
def test_a_tidy_path_has_single_slashes_and_none_at_the_end(path: str) -> None:
    tidy = tidy_path(path)
    assert tidy.startswith("/") and "//" not in tidy and (tidy == "/" or not tidy.endswith("/"))
    assert tidy_path(tidy) == tidy
    assert [part for part in tidy.split("/") if part] == [part for part in path.split("/") if part]


def test_every_route_answers_alike_however_it_is_typed(client: Any) -> None:
    for route in POLICIES:
        method, rule = route.split()
        body = {} if method == "POST" else None
        answers = {
            (reply.status_code, reply.headers.get("Location"))
            for path in typed(path_of(rule))
            for reply in [send(client, method, path, json=body, headers=ADMIN)]
        }
        assert len(answers) == 1, (route, answers)
        status, location = answers.pop()
        within = rule.startswith("/ui") and (location or "").startswith("/ui")  # from page to page
        assert (location is None or within) and status not in (301, 302, 307, 308, 405), (route, status)


@pytest.mark.parametrize("path", typed("/webhook"))
def test_a_label_is_stored_whatever_slashes_its_webhook_has(client: Any, services: Any, path: str) -> None:
    body = {"action": "ANNOTATION_CREATED", "project": {"id": 7, "label_config": CONFIG}, **annotation()}
    assert send(client, "POST", path, json=body).status_code == 200
    assert services.stores.examples.count(7) == 1


@pytest.fixture
def secured(services: Any) -> Any:
    """The application with every credential switched on, under a sub path."""
    changes = {
        "basic_auth_user": "studio",
        "basic_auth_pass": SecretStr("password"),
        "public_url": "https://labels.example.org/ml//bäckend/",
    }
    given = services.settings.model_copy(update=changes)
    return create_app(replace(services, settings=given, webhook_secret="s3cret"))


@pytest.mark.parametrize("prefix", ["", "/ml/b%C3%A4ckend", "//ml//b%C3%A4ckend/"])
def test_the_sub_path_of_public_url_may_be_left_on_or_taken_off_by_a_proxy(secured: Any, prefix: str) -> None:
    client = secured.test_client()
    assert send(client, "GET", f"{prefix}/ready/").status_code in (200, 503)
    event = {"action": "x", "project": 1}
    assert send(client, "POST", f"{prefix}/webhook/s3cret/", json=event).status_code == 200
    for path in ("/webhook/wrong/", "/predict/", "/versions//", "/admin/projects/", "/nothing/"):
        for method in ("GET", "POST"):
            reply = send(client, method, f"{prefix}{path}")
            assert reply.status_code == 401, (method, path)


def test_a_sub_path_that_is_called_like_a_route_hides_none(services: Any) -> None:
    given = services.settings.model_copy(update={"public_url": "http://h/webhook"})
    client = create_app(replace(services, settings=given, webhook_secret="")).test_client()
    body = {"action": "x", "project": 1}
    assert [client.post(path, json=body).status_code for path in ("/webhook", "/webhook/webhook")] == [200, 200]
    assert client.get("/webhook/health").status_code == 405, "as it stands it is a secret"


def test_the_path_of_a_url_is_read_as_the_server_sees_it() -> None:
    urls = ("http://h", "http://h/", "http://h/ml", "http://h/b%C3%A4", "http://h/bä")
    assert [prefix_of(url) for url in urls] == ["", "/", "/ml", "/b\xc3\xa4", "/b\xc3\xa4"]


def test_paths_that_lead_nowhere_are_one_line_each_without_what_may_be_a_secret(client: Any, caplog: Any) -> None:
    with caplog.at_level(logging.WARNING, "backend.rejects.refused_requests"):
        for _ in range(50):
            client.post("/train_status/s3cret-token", json={})
            client.get("/predict/")
            client.post("/webhook/", data=b"{")
        client.get("/health/")
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[0] for line in lines] == [
        "POST /train_status/… answered 404",
        "GET /predict answered 405",
        "POST /webhook answered 400",
    ]
    assert "s3cret" not in caplog.text


def test_thousands_of_different_paths_make_few_lines(client: Any, caplog: Any) -> None:
    with caplog.at_level(logging.WARNING, "backend.rejects.refused_requests"):
        for number in range(3 * KEYS_KEPT):
            client.get(f"/path{number}")
    assert len(caplog.records) == KEYS_KEPT + 1


def test_what_was_held_back_is_told_with_the_next_line() -> None:
    now = [0.0]
    throttle = LogThrottle(lambda: now[0])
    assert [throttle.admit("a"), throttle.admit("a", 5), throttle.admit("b", 3)] == [0, None, 2]
    now[0] += EVERY_SECONDS
    assert [throttle.admit("a"), throttle.admit("a"), throttle.admit("b")] == [5, None, 0]


def test_the_openapi_document_names_each_route_once(client: Any) -> None:
    paths = client.get("/openapi.json/").get_json()["paths"]
    assert len(paths) == len({rule.split()[1] for rule in routes_of(client.application)})
    assert not [path for path in paths if path != "/" and path.endswith("/")]
