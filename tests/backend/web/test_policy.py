"""The policy table is whole, and holds for every route of the application as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from backend.routes.app import REPLY_HEADERS, create_app
from backend.web.guard import Guard
from backend.web.policy import POLICIES, Caller
from backend.web.rate_limit import BUCKETS_KEPT, RateLimiter
from tests.support.tiny import settings, tiny_base  # noqa: F401

ADMIN = {"Authorization": "Bearer admin"}
SECRET = "s3cret"


@pytest.fixture
def locked(services: Any) -> Any:
    """The application with every credential switched on."""
    changes = {"basic_auth_user": "studio", "basic_auth_pass": SecretStr("password")}
    given = services.settings.model_copy(update=changes)
    return create_app(replace(services, settings=given, webhook_secret=SECRET))


def routes_of(app: Any) -> list[str]:
    """`METHOD rule` of everything the application serves."""
    return sorted(f"{method} {rule.rule}" for rule in app.url_map.iter_rules() for method in rule.methods - {"HEAD"})


def path_of(rule: str) -> str:
    rule = rule.replace("<tab>", "overview").replace("<file>", "page.txt")
    return rule.replace("<project>", "7").replace("<job>", "train-7-abc").replace("<secret>", "wrong")


def test_every_route_has_a_policy_and_every_policy_a_route(locked: Any) -> None:
    assert routes_of(locked) == sorted(POLICIES)


def test_no_route_answers_a_stranger_and_only_probes_are_told_anything(locked: Any) -> None:
    client = locked.test_client()
    for route, policy in POLICIES.items():
        method, rule = route.split()
        reply = client.open(path_of(rule), method=method, json={} if method == "POST" else None)
        if policy.caller is Caller.ANYONE:
            assert reply.status_code in ((200, 503) if not rule.startswith("/ui") else (200, 403, 404)), route
            continue
        if policy.caller is Caller.BROWSER:
            sent_away = reply.status_code == 303 and reply.headers["Location"].startswith("/ui/login")
            assert sent_away if not rule.endswith(".json") else reply.status_code == 401, route
            continue
        if policy.caller is Caller.PROBE:
            assert reply.status_code == 200, route
            wrong = client.open(path_of(rule), method=method, headers={"Authorization": "Basic eDp5"})
            assert (wrong.status_code, wrong.headers["WWW-Authenticate"].split()[0]) == (401, "Basic"), route
            continue
        scheme = "Bearer" if policy.caller is Caller.ADMIN else "Basic"
        assert (reply.status_code, reply.headers["WWW-Authenticate"].split()[0]) == (401, scheme), route
    for path in ("/nothing", "/admin/nothing", "/webhook/a/b", "/admin", "//health", "/%2e%2e/etc/passwd"):
        assert client.get(path).status_code == 401, path


def test_credentials_of_one_kind_open_no_door_of_another(locked: Any) -> None:
    client = locked.test_client()
    wrong = {"Authorization": f"Bearer {SECRET}", "X-Webhook-Secret": SECRET}
    for route, policy in POLICIES.items():
        method, rule = route.split()
        if policy.caller in (Caller.ADMIN, Caller.LABEL_STUDIO, Caller.BROWSER):
            headers = wrong if policy.caller is not Caller.LABEL_STUDIO else {**ADMIN, "X-Webhook-Secret": SECRET}
            assert client.open(path_of(rule), method=method, json={}, headers=headers).status_code == 401, route


def test_every_reply_carries_the_security_headers(client: Any) -> None:
    replies = [client.get("/health"), client.get("/nothing"), client.get("/admin/projects"), client.get("/predict")]
    replies += [client.post("/setup", data=b"{"), client.post("/health"), client.options("/health")]
    assert [reply.status_code for reply in replies] == [200, 404, 401, 405, 400, 405, 405]
    for reply in replies:
        assert REPLY_HEADERS.items() <= dict(reply.headers).items()
        assert "Access-Control-Allow-Origin" not in reply.headers
    assert replies[3].headers["Allow"] == "POST"


def test_an_admin_who_asks_too_often_is_told_when_to_come_again(
    client: Any, services: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.stores.projects.save_config(7, "<View/>")
    now = [0.0]
    monkeypatch.setattr(Guard, "__init__", lambda self, wired: None)
    guard = Guard(services)
    guard._services, guard._limiter = services, RateLimiter(lambda: now[0])
    monkeypatch.setattr("backend.routes.app.Guard", lambda wired: guard)
    client = create_app(services).test_client()

    def ask(project: int = 7) -> Any:
        return client.post(f"/admin/projects/{project}/unpin", headers=ADMIN)

    assert [ask().status_code for _ in range(61)] == [200] * 60 + [429]
    reply = ask()
    assert (reply.get_json()["error"], reply.headers["Retry-After"]) == ("rate_limited", "1")
    assert ask(8).status_code == 404, "another project is not concerned"
    now[0] += 1.0
    assert ask().status_code == 200


def test_a_bucket_refills_evenly_and_memory_is_bounded() -> None:
    now = [0.0]
    limiter = RateLimiter(lambda: now[0])
    assert [limiter.wait("a", 2) for _ in range(3)] == [0.0, 0.0, 30.0]
    now[0] = 30.0
    assert limiter.wait("a", 2) == 0.0 and limiter.wait("a", 2) == 30.0
    now[0] = 1e6
    assert [limiter.wait("a", 2) for _ in range(3)] == [0.0, 0.0, 30.0]
    for number in range(BUCKETS_KEPT + 10):
        limiter.wait(number, 1)
    assert len(limiter._buckets) == BUCKETS_KEPT


def test_what_an_admin_did_is_kept_without_text_or_token(client: Any, services: Any) -> None:
    services.stores.projects.save_config(7, "<View/>")
    client.post("/admin/projects/7/unpin", headers=ADMIN)
    client.post("/admin/projects/7/rollback", headers=ADMIN, json={"version": "secret text"})
    client.post("/admin/projects/99/retrain", headers=ADMIN)
    client.post("/admin/jobs/train-7-abc/cancel", headers=ADMIN)
    client.post("/admin/projects/..;rm/retrain", headers=ADMIN)
    client.post("/admin/projects/7/retrain", headers={"Authorization": "Bearer wrong"})
    client.get("/admin/projects/7", headers=ADMIN)
    actions = client.get("/admin/audit?limit=9", headers=ADMIN).get_json()["actions"]
    shown = [(entry["action"], entry.get("project"), entry.get("job"), entry["status"]) for entry in actions]
    assert shown == [
        ("retrain", None, None, "400"),
        ("cancel", None, "train-7-abc", "404"),
        ("retrain", "99", None, "404"),
        ("rollback", "7", None, "400"),
        ("unpin", "7", None, "200"),
    ]
    assert all(entry["by"] == "admin" and entry["address"] == "127.0.0.1" and entry["at"] > 1e9 for entry in actions)
    assert "secret text" not in str(actions)


def test_an_action_goes_on_without_its_audit_entry_which_the_log_has(
    client: Any, services: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    from backend.errors import StoreUnavailable

    def refuse(entry: Any) -> None:
        raise StoreUnavailable("away")

    services.stores.projects.save_config(7, "<View/>")
    monkeypatch.setattr(services.stores.audit, "write", refuse)
    with caplog.at_level("INFO"):
        assert client.post("/admin/projects/7/unpin", headers=ADMIN).status_code == 200
    assert "action=unpin project=7" in caplog.text
