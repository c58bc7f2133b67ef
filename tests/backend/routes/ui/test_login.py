"""Who may see the model page: the token, the link, the cookie, the tokens of forms; and who may not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from backend.routes.app import create_app
from backend.ui.session import Sessions
from tests.backend.routes.ui.conftest import TOKEN, log_in

PAGES = ("/ui", "/ui/operations", "/ui/projects/7", "/ui/projects/7/overview", "/ui/nothing")


def cookie_of(reply: Any, purpose: str = "session") -> str:
    return next(line for line in reply.headers.getlist("Set-Cookie") if line.startswith(f"understudy_{purpose}_"))


def test_a_stranger_is_sent_to_log_in_and_back_to_where_he_was(client: Any) -> None:
    for path in PAGES:
        reply = client.get(path)
        assert reply.status_code == 303 and reply.headers["Location"].startswith("/ui/login"), path
    assert client.get("/ui/operations").headers["Location"] == "/ui/login?next=/ui/operations"
    assert log_in(client, next="/ui/operations").headers["Location"] == "/ui/operations"
    assert client.get("/ui/operations").status_code == 200


@pytest.mark.parametrize(
    "target", ["//evil.example/ui", "https://evil.example", "/ui\\@evil", "/admin", "/ui/../admin"]
)
def test_nobody_is_sent_elsewhere_after_logging_in(client: Any, target: str) -> None:
    assert log_in(client, next=target).headers["Location"] == "/ui"


@pytest.mark.parametrize("token", ["", "wrong", "admin2", "ädmin", "\udc80" * 3])
def test_another_token_opens_nothing(client: Any, token: str) -> None:
    reply = log_in(client, token.encode("utf-8", "replace").decode())
    assert reply.status_code == 401 and "not the admin token" in reply.text
    assert client.get("/ui").status_code == 303


def test_the_cookie_is_seen_by_no_script_and_sent_by_no_other_site(client: Any) -> None:
    cookie = cookie_of(log_in(client))
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie and "Secure" not in cookie
    assert "admin" not in cookie


@pytest.mark.parametrize("headers", [{"X-Forwarded-Proto": "https"}, {"X-Forwarded-Proto": "https, http"}])
def test_over_https_the_cookie_stays_there(client: Any, headers: dict[str, str]) -> None:
    form = client.get("/ui/login", headers=headers)
    token = TOKEN.search(form.text)
    assert token and "Secure" in cookie_of(form, "form")
    reply = client.post(
        "/ui/login", data={"csrf_token": token[1], "token": "admin"}, headers=headers, base_url="https://localhost"
    )
    assert reply.status_code in (303, 403)


def test_logging_out_ends_every_copy_of_the_cookie(services: Any) -> None:
    app = create_app(services)
    mine, copy = app.test_client(), app.test_client()
    assert log_in(mine).status_code == 303
    cookie = mine.get_cookie(f"understudy_session_{services.settings.port}")
    copy.set_cookie(cookie.key, cookie.value)
    assert copy.get("/ui").status_code == 200
    token = TOKEN.search(mine.get("/ui").text)
    assert token and mine.post("/ui/logout", data={"csrf_token": token[1]}).status_code == 303
    assert mine.get("/ui").status_code == 303
    assert copy.get("/ui").status_code == 303


def test_a_session_ends_by_itself_and_with_another_admin_token(services: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions("admin", 60)
    session, cookie = sessions.begin()
    assert sessions.read(cookie) is not None and sessions.read(cookie).id == session.id  # type: ignore[union-attr]
    assert Sessions("other", 60).read(cookie) is None
    assert Sessions("admin", -1).read(cookie) is None
    data, made, signature = cookie.split(".")  # the last letter of each has bits that mean nothing: change the first
    other = [f"{'A' if part[0] != 'A' else 'B'}{part[1:]}" for part in (data, made, signature)]
    forged = [f"{other[0]}.{made}.{signature}", f"{data}.{other[1]}.{signature}", f"{data}.{made}.{other[2]}"]
    for broken in ("", "x", *forged, f"{cookie}.{cookie}", "é"):
        assert sessions.read(broken) is None, broken


def test_a_link_logs_in_once(client: Any, services: Any) -> None:
    link = client.post("/admin/login-link", headers={"Authorization": "Bearer admin"})
    assert link.status_code == 201
    code = link.get_json()["path"].partition("code=")[2]
    assert code in client.get(link.get_json()["path"]).text
    assert log_in(client, "", code="wrong" + code).status_code == 401
    assert log_in(client, "", code=code).status_code == 303
    assert client.get("/ui").status_code == 200
    again = create_app(replace(services)).test_client()
    assert log_in(again, "", code=code).status_code == 401
    assert not any(code in str(entry) for entry in services.stores.audit.read(100))


def test_only_an_admin_makes_a_link(client: Any, browser: Any) -> None:
    assert browser.post("/admin/login-link").status_code == 401


@pytest.mark.parametrize("path", ["/ui/projects/7/unpin", "/ui/projects/7/retrain", "/ui/logout"])
def test_a_form_without_its_token_changes_nothing(browser: Any, services: Any, path: str) -> None:
    services.stores.projects.save_config(7, "<View/>")
    for fields in ({}, {"csrf_token": ""}, {"csrf_token": "0" * 64}, {"csrf_token": "ü"}):
        assert browser.post(path, data=fields).status_code == 403, fields
    assert services.stores.jobs.running(7) is None


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
def test_another_sites_form_changes_nothing(browser: Any, csrf: str, headers: dict[str, str]) -> None:
    assert browser.post("/ui/logout", data={"csrf_token": csrf}, headers=headers).status_code == 403
    assert browser.get("/ui").status_code == 200


def test_the_login_form_of_another_browser_is_no_good(services: Any) -> None:
    app = create_app(services)
    theirs = TOKEN.search(app.test_client().get("/ui/login").text)
    assert theirs
    mine = app.test_client()
    assert mine.post("/ui/login", data={"csrf_token": theirs[1], "token": "admin"}).status_code == 403
    mine.get("/ui/login")
    assert mine.post("/ui/login", data={"csrf_token": theirs[1], "token": "admin"}).status_code == 403


def test_a_part_that_is_asked_for_without_a_login_leads_there(client: Any) -> None:
    reply = client.get("/ui", headers={"HX-Request": "true"})
    assert (reply.status_code, reply.headers["HX-Redirect"]) == (401, "/ui/login")


def test_the_admin_token_reads_the_twins(client: Any) -> None:
    headers = {"Authorization": "Bearer admin"}
    assert client.get("/ui/projects.json", headers=headers).get_json()["projects"] == []
    assert client.get("/ui/projects.json", headers={"Authorization": "Bearer no"}).status_code == 401
    assert client.get("/ui/projects.json").status_code == 401
