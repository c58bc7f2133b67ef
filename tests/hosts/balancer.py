"""What stands before the web hosts: each request goes to the next one that is ready, or to another if that is gone.

As any ingress: a request that was sent is never sent again. It notes what was acknowledged, for whoever checks that
nothing of it is lost.
"""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Address = tuple[str, int]

CONNECT_SECONDS = 0.3
"""Label Studio gives up on an event after 1 s: two hosts must be tried within that."""

ANSWER_SECONDS = 60.0
LOOK_SECONDS = 0.5
PASSED_ON = ("Content-Type", "Authorization", "X-Webhook-Secret", "Cookie", "Location", "Set-Cookie", "X-CSRFToken")


@dataclass
class Log:
    """What went through: status -> how often, by path; and the annotations that were acknowledged, with when."""

    replies: dict[tuple[str, int], int] = field(default_factory=dict)
    acknowledged: dict[int, float] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def note(self, path: str, status: int, body: bytes) -> None:
        """One reply; `body` of the request."""
        with self.guard:
            self.replies[path, status] = self.replies.get((path, status), 0) + 1
            if path == "/webhook" and status == 200:
                self.acknowledged |= dict.fromkeys(_annotations(body), time.time())


def _annotations(body: bytes) -> list[int]:
    """Those that an event brings; none of a deletion."""
    event = json.loads(body)
    found = event.get("annotation") or []
    return [int(one["id"]) for one in (found if isinstance(found, list) else [found])]


class Balancer(ThreadingHTTPServer):
    """Listens at `address`. `health`: path that must answer 200; "": all count as healthy."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: Address, targets: Sequence[Address], health: str = "") -> None:
        super().__init__(address, _Handler)
        self.targets, self.log, self._health = list(targets), Log(), health
        self._down: set[Address] = set(targets) if health else set()
        self._turn = itertools.count()
        self._ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def __enter__(self) -> Balancer:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        if self._health:
            for target in self.targets:
                threading.Thread(target=self._watch, args=(target,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self.shutdown()
        self.server_close()

    def in_turn(self) -> list[Address]:
        """The healthy ones, another one first each time; all of them while none is."""
        healthy = [target for target in self.targets if target not in self._down] or self.targets
        first = next(self._turn) % len(healthy)
        return healthy[first:] + healthy[:first]

    def _watch(self, target: Address) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            if _asks(target, self._health):
                self._down.discard(target)
            else:
                self._down.add(target)


def _asks(target: Address, path: str) -> bool:
    with closing(http.client.HTTPConnection(*target, timeout=1.0)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


class _Handler(BaseHTTPRequestHandler):
    server: Balancer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for target in self.server.in_turn():
            connection = http.client.HTTPConnection(*target, timeout=CONNECT_SECONDS)
            try:
                connection.connect()
            except OSError:
                continue  # nothing was sent: the next one may have it
            with closing(connection):
                return self._exchange(connection, body)
        return self._answer(503, b"no host answers", {})

    def _exchange(self, connection: http.client.HTTPConnection, body: bytes) -> None:
        assert connection.sock is not None
        connection.sock.settimeout(ANSWER_SECONDS)
        try:
            connection.request(self.command, self.path, body, self._headers(self.headers))
            reply = connection.getresponse()
            said = reply.read()
        except (OSError, http.client.HTTPException) as error:
            return self._answer(502, repr(error).encode(), {})
        self.server.log.note(self.path.partition("?")[0], reply.status, body)
        self._answer(reply.status, said, self._headers(reply.headers))

    @staticmethod
    def _headers(given: Any) -> dict[str, str]:
        return {name: given[name] for name in PASSED_ON if name in given}

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        with suppress(ConnectionError):  # who asked has gone
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    do_GET = do_POST = do_PATCH = do_DELETE = _pass_on

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the log has it."""
