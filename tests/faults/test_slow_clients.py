"""Rows 8 and 40: clients that send, read or close slowly hold nothing up; a web process that is told to stop finishes
what it has begun. The real web process, on a Redis of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from backend.store.stores import Stores
from tests.conftest import running_redis
from tests.faults.test_trainings import wait_until
from tests.support.events import CONFIG, annotation
from tests.support.rig import free_port
from tests.support.tiny import PROJECT, tiny_base, tiny_settings  # noqa: F401

SLOW = 3
"""Seconds that a client has."""

CLIENTS = 24
"""Of each kind: three times the threads."""

KINDS = {
    "says nothing": b"",
    "half a header": b"GET /health HTTP/1.1\r\nX-Slow: ",
    "half a body": b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
    "part of a large body": b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{" + b" " * 70_000,
    "a body in pieces": b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    "asks to be asked": b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
}


class Web:
    """`understudy web`."""

    def __init__(self, folder: Path, redis_url: str, base: Path) -> None:
        self.settings = tiny_settings(folder, redis_url, base)
        self.port = free_port()
        self._clients: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self.port}"
        facts = {"DATA_DIR": str(folder), "REDIS_URL": redis_url, "BASE_MODEL": str(base), "PORT": str(self.port)}
        facts |= {"CLIENT_SECONDS": str(SLOW), "WEB_THREADS": "8", "ADMIN_TOKEN": "admin", "MAX_BODY_MB": "2"}
        command = [sys.executable, "-m", "backend", "web"]
        self.process = subprocess.Popen(command, env={**os.environ, **facts})
        wait_until(lambda: self.answers("/ready"), "the web process")

    def answers(self, path: str) -> bool:
        try:
            return requests.get(f"{self.url}{path}", timeout=20).ok
        except requests.RequestException:
            return False

    @property
    def worker(self) -> psutil.Process:
        (found,) = psutil.Process(self.process.pid).children()
        return found

    def connect(self, data: bytes) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port))
        client.sendall(data)
        self._clients.append(client)
        return client

    def stop(self) -> int:
        for client in self._clients:
            client.close()
        self.process.terminate()
        return self.process.wait(60)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Iterator[Web]:
    with running_redis() as server:
        started = Web(tmp_path_factory.mktemp("web") / "data", server.settings.effective_redis_url, tiny_base)
        yield started
        started.stop()


def is_closed(client: socket.socket) -> bool:
    """Whether the server has closed this connection (an interim reply to Expect may come first)."""
    client.setblocking(False)
    try:
        return not client.recv(1000)
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_row_08_slow_clients_hold_no_thread_and_are_let_go(web: Web) -> None:
    clients = {kind: [web.connect(data) for _ in range(CLIENTS)] for kind, data in KINDS.items()}
    before = web.worker.memory_info().rss
    assert web.answers("/health"), "it answers others meanwhile"
    for kind, some in clients.items():
        assert not all(is_closed(client) for client in some), f"{kind}: it answered because they were gone"
    waiting = [client for some in clients.values() for client in some]
    while waiting:
        for client in waiting:
            trickle(client)
        assert web.answers("/health")
        waiting = [client for client in waiting if not is_closed(client)]
        time.sleep(0.1)
    assert web.worker.memory_info().rss < before + (64 << 20)


def trickle(client: socket.socket) -> None:
    with suppress(OSError):
        client.send(b"x")


def test_row_08_a_client_that_does_not_close_its_end_holds_up_nobody(web: Web) -> None:
    said: list[bool] = []
    clients = [web.connect(b"GET /health HTTP/1.0\r\n\r\n") for _ in range(CLIENTS)]
    for client in clients:
        client.settimeout(20)
        assert client.recv(20).startswith(b"HTTP/1.0 200")
    sockets = {item.raddr.port for item in web.worker.net_connections("tcp") if item.raddr}
    said.append(web.answers("/health"))
    still = {item.raddr.port for item in web.worker.net_connections("tcp") if item.raddr}
    assert said == [True] and sockets & still, "it answers before they are let go"


def test_row_08_a_hundred_megabytes_are_refused_unread(web: Web) -> None:
    client = web.connect(b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n" + b"x" * 70_000)
    client.settimeout(20)
    assert client.recv(20).startswith(b"HTTP/1.1 413")


def test_requests_that_come_in_parts_or_two_at_once_are_answered(web: Web) -> None:
    first = b"POST /setup HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n[1,2,3,4,5"
    second = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    for cut in (3, 30, len(first) - 4, len(first), len(first) + 5):
        whole = first + second
        client = web.connect(whole[:cut])
        client.settimeout(20)
        time.sleep(0.05)
        client.sendall(whole[cut:])
        with client.makefile("rb") as replies:
            assert re.findall(rb"HTTP/1.1 (\d+)", replies.read()) == [b"400", b"200"], cut


def test_the_server_names_no_version_and_its_own_errors_no_software(web: Web) -> None:
    assert "/" not in requests.get(f"{web.url}/health", timeout=20).headers["Server"]
    client = web.connect(b"NONSENSE\r\n\r\n")
    client.settimeout(20)
    with client.makefile("rb") as reply:
        text = reply.read()
    assert text.startswith(b"HTTP/1.1 400") and b"Traceback" not in text and b"gunicorn" not in text


@pytest.mark.timeout(120)
def test_row_40_told_to_stop_it_ends_what_it_has_begun_and_loses_nothing(web: Web) -> None:
    acknowledged: list[int] = []
    answered: list[Any] = []
    stop = threading.Event()
    tasks = [{"id": n, "data": {"text": f"a b c {n}"}} for n in range(1, 4001)]
    body = {"tasks": tasks, "project": f"{PROJECT}.1", "label_config": CONFIG}

    def predict() -> None:
        reply = requests.post(f"{web.url}/predict", json=body, timeout=60)
        answered.append((reply.status_code, sum(bool(item) for item in reply.json()["results"])))

    def annotate(first: int) -> None:
        session, number = requests.Session(), first
        while not stop.is_set():
            event = {"action": "ANNOTATION_CREATED", "project": {"id": PROJECT, "label_config": CONFIG}}
            try:
                reply = session.post(f"{web.url}/webhook", json={**event, **annotation(number)}, timeout=60)
            except requests.ConnectionError:
                return  # nothing listens any more
            if reply.ok:
                acknowledged.append(number)
            number += 1

    threads = [threading.Thread(target=annotate, args=(first,)) for first in (1, 100_001, 200_001)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(acknowledged) > 30, "events")
    asking = threading.Thread(target=predict)
    worker, connections = web.worker, len(web.worker.net_connections("tcp"))
    asking.start()
    wait_until(lambda: len(worker.net_connections("tcp")) > connections, "the request")
    web.process.send_signal(signal.SIGTERM)
    assert web.process.wait(60) == 0, "by itself, within its grace"
    asking.join()
    stop.set()
    for thread in threads:
        thread.join()
    assert answered == [(200, len(tasks))]
    stores = Stores(web.settings)
    stored = {record.annotation for record in stores.examples.snapshot(PROJECT).records}
    stores.close()
    assert set(acknowledged) <= stored and len(stored) <= len(acknowledged) + len(threads)
