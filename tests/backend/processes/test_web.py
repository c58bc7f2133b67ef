"""The web process as it runs: a gunicorn master and its worker."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import requests

from backend.redis_access.shared_secrets import admin_token
from backend.web.policy import POLICIES, Caller
from tests.support.rig import choices_config, free_port
from tests.support.tiny import tiny_base  # noqa: F401


def test_a_worker_dies_with_its_master(tmp_path: Path) -> None:
    """Else it answers what it has begun, and keeps the port from the next `understudy up`."""
    port, dead = free_port(), free_port()
    facts = {"DATA_DIR": str(tmp_path), "PORT": str(port), "REDIS_URL": f"redis://127.0.0.1:{dead}/0"}
    facts |= {"ADMIN_TOKEN": "admin", "WEBHOOK_SECRET": "secret"}  # else it waits for the installation's, in Redis
    command = [sys.executable, "-m", "backend", "web"]
    master = subprocess.Popen(command, env={**os.environ, **facts, "PREDICT_DEADLINE": "8"})
    failures: list[Exception] = []

    def ask() -> None:
        """Waits for a model, which will not come without Redis."""
        body = {"tasks": [{"id": 1, "data": {"text": "hello"}}], "project": "7.1", "label_config": choices_config("ab")}
        try:
            requests.post(f"http://127.0.0.1:{port}/predict", json=body, timeout=60)
        except requests.ConnectionError as error:
            failures.append(error)

    with master:
        while not answers(port):
            assert master.poll() is None
            time.sleep(0.05)
        (worker,) = psutil.Process(master.pid).children()
        asking = threading.Thread(target=ask)
        asking.start()
        while not [item for item in worker.net_connections("tcp") if item.status == psutil.CONN_ESTABLISHED]:
            time.sleep(0.05)
        master.send_signal(signal.SIGKILL)
        asking.join()
    assert failures, "it went on after the end of its master"
    psutil.wait_procs([worker], timeout=30)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE


def answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=5).ok
    except requests.RequestException:
        return False


def test_without_its_secrets_it_lives_refuses_everything_and_goes_on_when_redis_comes(
    own_redis: Any,
    tmp_path: Path,
    tiny_base: Path,  # noqa: F811
) -> None:
    url, port = own_redis.settings.effective_redis_url, free_port()
    own_redis.stop()
    facts = {"DATA_DIR": str(tmp_path / "data"), "PORT": str(port), "REDIS_URL": url, "BASE_MODEL": str(tiny_base)}
    facts |= {"BASIC_AUTH_USER": "ls", "BASIC_AUTH_PASS": "pass", "PUBLIC_URL": f"http://localhost:{port}/ml"}
    command = [sys.executable, "-m", "backend", "web"]
    here = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, env={**os.environ, **facts}) as master:
        try:
            until(lambda: answers(port))
            for path in ("/health", "/ml/health", "//health/"):
                assert requests.get(here + path, timeout=20).json()["status"] == "UP"
            waits = requests.get(f"{here}/ready", timeout=20)
            assert (waits.status_code, waits.json()["error"]) == (503, "store_unavailable")
            assert "Redis" in waits.json()["reason"] and waits.headers["X-Content-Type-Options"] == "nosniff"
            for route, policy in POLICIES.items():
                method, _, path = route.partition(" ")
                if path == "/ready" or policy.caller is Caller.PROBE:
                    continue
                path = re.sub("<.*?>", "1", path)
                for auth in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
                    refused = requests.request(method, here + path, json={}, headers=auth, timeout=20)
                    assert (refused.status_code, refused.json()["error"]) == (503, "store_unavailable"), route
                    assert refused.headers["Retry-After"]
            assert requests.post(f"{here}/health", timeout=20).status_code == 503
            (worker,) = psutil.Process(master.pid).children()
            own_redis.start()
            until(lambda: requests.get(f"{here}/ready", timeout=20).ok)
            assert psutil.Process(master.pid).children() == [worker], "the same process goes on"
            token = admin_token(own_redis.settings.model_copy(update={"redis_url": url, "data_dir": tmp_path / "b"}))
            listed = requests.get(f"{here}/admin/projects", headers={"Authorization": f"Bearer {token}"}, timeout=20)
            assert listed.ok and requests.get(f"{here}/admin/projects", timeout=20).status_code == 401
            assert requests.post(f"{here}/webhook", json={"action": "X"}, timeout=20).status_code == 401
        finally:
            master.terminate()


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 100
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
