"""The web process as it runs: a gunicorn master and its worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import requests

from tests.support.rig import choices_config, free_port


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
