"""Row 37: secrets planted in settings, headers and bodies are found in no log, reply, file, Redis or command line."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from backend.settings.settings import load_settings
from backend.store.outbox.event import trial
from backend.store.stores import Stores
from tests.faults.test_trainings import wait_until
from tests.support.events import CONFIG, annotation
from tests.support.rig import Rig, free_port
from tests.support.tiny import PROJECT, tiny_base  # noqa: F401

NAMES = (
    *("admin_token", "webhook_secret", "basic_auth_pass", "label_studio_api_key"),
    *("project_token", "task_password", "access_token", "login_password", "extra", "cookie", "wrong_token"),
    *("wrong_basic", "query", "broken_body", "wrong_path", "user_agent", "hook_path"),
)
PLANTED = {name: f"PLANTED-{name}-0c9d71" for name in NAMES}
PLANTED["notify_secret"] = "whsec_" + base64.b64encode(b"PLANTED-notify-secret-0c9d71").decode()


@pytest.fixture(scope="module")
def rig(tiny_base: Path) -> Iterator[Rig]:
    """All of `up`, as talkative as it gets, with a Label Studio that is away."""
    settings = {name: PLANTED[name] for name in NAMES[:4]}
    settings |= {"basic_auth_user": "studio", "log_level": "DEBUG", "base_model": str(tiny_base)}
    settings |= {"label_studio_url": f"http://127.0.0.1:{free_port()}", "scheduler_seconds": "0.2"}
    settings |= {"notify_url": f"http://127.0.0.1:{free_port()}/{PLANTED['hook_path']}?a=b"}
    settings |= {"notify_secret": PLANTED["notify_secret"]}
    with Rig(timed=True, **{name.upper(): value for name, value in settings.items()}) as started:
        yield started


class Caller:
    """Sends secrets and remembers all that it is told."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.heard: list[str] = []

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> int:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        always = {"Cookie": f"session={PLANTED['cookie']}", "User-Agent": PLANTED["user_agent"]}
        url = f"{self.rig.url}{path}?token={PLANTED['query']}"
        reply = requests.request(method, url, data=data, headers={**always, **headers}, timeout=60)
        self.heard.append(f"{reply.headers} {reply.text}")
        return reply.status_code


def visit_everything(caller: Caller) -> None:
    """Right and wrong calls of every kind."""
    basic = requests.Request("GET", caller.rig.url, auth=("studio", PLANTED["basic_auth_pass"])).prepare().headers
    right = {"Authorization": basic["Authorization"]}
    admin = {"Authorization": f"Bearer {PLANTED['admin_token']}"}
    secret = {"X-Webhook-Secret": PLANTED["webhook_secret"]}
    project = {"id": PROJECT, "label_config": CONFIG, "token": PLANTED["project_token"]}
    project |= {"task_data_password": PLANTED["task_password"], "task_data_login": "x"}
    setup = {"project": f"{PROJECT}.1", "schema": CONFIG, "access_token": PLANTED["access_token"]}
    setup |= {"extra_params": json.dumps({"key": PLANTED["extra"]}), "hostname": "http://x"}
    params = {"login": "x", "password": PLANTED["login_password"]}
    tasks = [{"id": 1, "data": {"text": "a b c"}}, {"id": 2, "data": None}]
    assert caller.send("POST", "/setup", setup, **right) == 200
    for number in range(1, 13):
        body = {"action": "ANNOTATION_CREATED", "project": project, **annotation(number, label="ae"[number % 2])}
        assert caller.send("POST", "/webhook", body, **secret) == 200
    assert caller.send("POST", f"/webhook/{PLANTED['webhook_secret']}", {"action": "X", "project": project}) == 200
    predict = {"tasks": tasks, "project": f"{PROJECT}.1", "label_config": CONFIG, "params": params}
    assert caller.send("POST", "/predict", predict, **right) == 200
    for path in (f"/admin/projects/{PROJECT}/retrain", f"/admin/projects/{PROJECT}/resync"):
        assert caller.send("POST", path, {}, **admin) == 202
    for path in ("/admin/projects", "/admin/audit", f"/admin/projects/{PROJECT}/examples", "/metrics", "/openapi.json"):
        caller.send("GET", path, **(admin if "admin" in path else right))
    wrong = {"Authorization": f"Bearer {PLANTED['wrong_token']}"}
    for path in ("/setup", "/webhook", f"/webhook/{PLANTED['wrong_path']}", f"/admin/projects/{PROJECT}/retrain"):
        assert caller.send("POST", path, setup, **wrong) == 401
    user = requests.Request("GET", caller.rig.url, auth=("studio", PLANTED["wrong_basic"])).prepare().headers
    assert caller.send("GET", "/health", Authorization=user["Authorization"]) == 401
    assert caller.send("POST", "/webhook", f'{{"token": "{PLANTED["broken_body"]}"'.encode(), **secret) == 400
    assert caller.send("POST", "/webhook", {**project, "action": 7}, **secret) == 400
    assert caller.send("POST", "/setup", {**setup, "schema": "<View"}, **right) == 400


def files_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    """(path, content) of every file; some come and go while the processes run."""
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                yield str(path.relative_to(folder)), path.read_bytes()


def tell_something(rig: Rig) -> None:
    """A test event in the outbox."""
    given = {name: rig.environment[name.upper()] for name in ("data_dir", "notify_url", "notify_secret")}
    stores = Stores(load_settings(**given))
    stores.outbox.put(trial())
    stores.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_row_37_planted_secrets_are_found_nowhere(rig: Rig) -> None:
    caller = Caller(rig)
    visit_everything(caller)
    admin = {"Authorization": f"Bearer {PLANTED['admin_token']}"}
    url = f"{rig.url}/admin/projects/{PROJECT}"
    wait_until(lambda: requests.get(url, headers=admin, timeout=60).json()["live"] != "v0", "a version")
    log = rig.data_dir / "logs" / "sync.log"
    wait_until(lambda: log.is_file() and "resync failed" in log.read_text(), "a reconciliation that fails")
    tell_something(rig)
    log = rig.data_dir / "logs" / "scheduler.log"
    wait_until(lambda: "did not take" in log.read_text(), "a notification that nobody takes")
    assert rig.process is not None
    family = [psutil.Process(rig.process.pid), *psutil.Process(rig.process.pid).children(recursive=True)]
    lines = "\n".join(" ".join(process.cmdline()) for process in family if process.is_running())
    kept = dict(files_of(rig.data_dir))
    assert any("manifest" in name for name in kept) and any("appendonly" in name for name in kept)
    places = {"replies": "\n".join(caller.heard).encode(), "command lines": lines.encode(), **kept}
    found = [
        (name, place) for name, value in PLANTED.items() for place, text in places.items() if value.encode() in text
    ]
    assert found == []
    assert any(b"a b c" in text for name, text in kept.items() if "appendonly" in name), "a text would be found"
