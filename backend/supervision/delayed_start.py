"""Workers start after the web process: with few cores, everything at once would make that the last one to answer.

The web process and Redis start first. The workers, each of which loads half a second to five seconds of libraries,
are held back until it answers, or for START_SECONDS seconds when it does not come.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from backend.addresses.host import EVERYWHERE

START_SECONDS = 10.0
"""Seconds; the web process answers within two. Work goes on without it: labels that are stored are still learned."""

PAUSE_SECONDS = 0.05
REQUEST = b"GET /health HTTP/1.0\r\n\r\n"


class Startable(Protocol):
    """supervisord's config of a process, as far as it is used."""

    autostart: bool


def http_answers(host: str, port: int, timeout: float = 1.0) -> bool:
    """Whether a web server answers there, be it that the call is not allowed.

    An open port alone says nothing: gunicorn listens before its worker has loaded the application."""
    bare = host.strip().removeprefix("[").removesuffix("]")
    address = EVERYWHERE.get(bare, bare)
    try:
        with socket.create_connection((address, port), timeout) as connection:
            connection.sendall(REQUEST)
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False


def release(held: Sequence[Startable], served: Callable[[], bool], patience: float = START_SECONDS) -> threading.Thread:
    """Lets supervisord start these of its process configs once `served()`; returns the thread that waits for it.

    supervisord starts, at its next look, every process that was never started and whose `autostart` is true."""

    def wait() -> None:
        deadline = time.monotonic() + patience
        while not served() and time.monotonic() < deadline:
            time.sleep(PAUSE_SECONDS)
        for config in held:
            config.autostart = True

    thread = threading.Thread(target=wait, name="late start", daemon=True)
    thread.start()
    return thread
