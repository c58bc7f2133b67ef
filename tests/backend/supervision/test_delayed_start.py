from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest

from backend.supervision.delayed_start import http_answers, release
from tests.conftest import serving


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        opened.listen()
        yield opened


def test_a_port_that_only_listens_does_not_answer(listener: socket.socket) -> None:
    assert not http_answers("127.0.0.1", listener.getsockname()[1], timeout=0.1)


def test_a_port_on_which_nobody_listens_does_not_answer(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    assert not http_answers("127.0.0.1", port)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_a_server_that_refuses_the_call_answers(host: str) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        def log_message(self, *args: object) -> None:
            pass

    with serving(HTTPServer(("127.0.0.1", 0), Refusing)) as server:
        assert http_answers(host, server.server_port)


def test_who_waits_starts_once_the_web_process_serves() -> None:
    served, held = threading.Event(), [SimpleNamespace(autostart=False), SimpleNamespace(autostart=False)]
    thread = release(held, served.is_set, patience=60)
    assert not any(config.autostart for config in held)
    served.set()
    thread.join(120)
    assert all(config.autostart for config in held)


def test_who_waits_starts_without_a_web_process_in_the_end() -> None:
    held = [SimpleNamespace(autostart=False)]
    began = time.monotonic()
    release(held, lambda: False, patience=0.2).join(120)
    assert held[0].autostart
    assert time.monotonic() - began >= 0.2
