"""A worker begins whatever the path of Redis's socket is made of, and whoever was killed in its place."""

from __future__ import annotations

import subprocess
import time
from os import getpid
from pathlib import Path
from socket import gethostname
from typing import Any
from urllib.parse import quote

import pytest

from backend.embedded_redis.binary import find_redis_server
from backend.embedded_redis.server import answers
from backend.redis_access.workers import read_workers
from backend.settings.settings import Settings
from backend.workers.worker import build_worker

pytestmark = pytest.mark.redis


@pytest.mark.parametrize("name", ["My Redis", "a=b", "tab\there", "deep/" * 40])
def test_a_worker_begins_on_a_socket_with_an_odd_path(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir(parents=True)
    socket = folder / "r.sock"
    # As somebody's own Redis has it: with the whole path, but for one that no socket can have.
    bound = str(socket) if len(str(socket)) < 100 else "r.sock"
    command = [find_redis_server(), "--port", "0", "--unixsocket", bound, "--save", ""]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + 120
            while not answers(socket):
                assert time.monotonic() < deadline, "Redis does not start"
                time.sleep(0.02)
            settings = Settings(data_dir=tmp_path, redis_url=f"unix://{quote(str(socket))}?db=0", _env_file=None)
            worker = build_worker(settings, "learn")
            worker.register_birth()
            worker.teardown()
        finally:
            server.kill()


def test_a_worker_that_was_killed_keeps_no_other_from_its_place(context: Any, settings: Settings) -> None:
    """In a container all have the process number 1, and the host name of the one before."""
    for _ in range(2):
        worker = build_worker(settings, "learn")
        worker.register_birth()
        worker.connection.close()
    names = read_workers(context.stores.client).names["learn"]
    assert len(names) == 2 and all(name.startswith(f"learn-{gethostname()}-{getpid()}-") for name in names)
