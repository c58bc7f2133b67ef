"""gunicorn's worker with threads, made safe against clients that send, read or close slowly.

As it comes, one byte of a request holds a thread until the client goes away, and a client that does not close its end
after the last reply holds the main loop for 2 s each time. Here a thread gets a request when all of it is there, or the
first 64 KiB are (a quarter of the threads never works on these). The rest must come within CLIENT_SECONDS, and goodbyes
wait on the poller.
"""

from __future__ import annotations

import errno
import math
import re
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

READ_AHEAD_BYTES = 64 << 10
"""Bytes of a request that are waited for without a thread: 1,000 connections hold 64 MiB at most."""

NEXT_PACKET_SECONDS = 0.02
"""Seconds that a thread waits for the next packet of a request; most come in one."""

LINGER_SECONDS = 2.0
"""Seconds that a client has to close its end, or to send the rest of a request to a server that stops."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,12})[ \t]*\r\n", re.IGNORECASE)
_SPECIAL = re.compile(rb"\r\n(expect|transfer-encoding):", re.IGNORECASE)


class Stage(Enum):
    """How much of a request has come."""

    PART = "part"
    WHOLE = "whole"
    LARGE = "large"
    """More is to come than is waited for without a thread."""


def stage_of(data: bytes | bytearray) -> Stage:
    """How much of a request this is. One that is none is WHOLE: the parser says what is wrong."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return Stage.PART if len(data) < READ_AHEAD_BYTES else Stage.WHOLE
    head = bytes(data[: end + 4])
    if _SPECIAL.search(head):
        return Stage.LARGE  # a body in pieces, or a client that waits to be asked for it
    length = _LENGTH.search(head)
    total = end + 4 + (int(length.group(1)) if length else 0)
    if len(data) >= total:
        return Stage.WHOLE
    return Stage.LARGE if len(data) >= READ_AHEAD_BYTES else Stage.PART


class TimedSocket(socket.socket):
    """A client's connection. "Blocking" means at most `seconds` here, and nothing is read after `deadline`."""

    seconds = deadline = math.inf

    def setblocking(self, flag: bool) -> None:
        """Wait for `seconds`, or not at all."""
        self.settimeout(self.seconds if flag else 0.0)

    def recv(self, *args: Any) -> bytes:
        """Raises ConnectionResetError for a client that is too slow."""
        if time.monotonic() > self.deadline:
            raise ConnectionResetError(errno.ECONNRESET, "the client is too slow")
        try:
            return super().recv(*args)
        except TimeoutError as error:
            raise ConnectionResetError(errno.ECONNRESET, "the client is too slow") from error

    def sendall(self, *args: Any) -> None:
        """Raises ConnectionResetError for a client that does not read."""
        try:
            super().sendall(*args)
        except TimeoutError as error:
            raise ConnectionResetError(errno.ECONNRESET, "the client does not read") from error


@dataclass
class Ahead:
    """What has come of a request, and since when the client has been at it."""

    since: float = field(default_factory=time.monotonic)
    data: bytearray = field(default_factory=bytearray)
    stage: Stage = Stage.PART
    admitted: bool = False
    """A LARGE one that has a thread."""


class PatientWorker(ThreadWorker):  # type: ignore[misc]
    """Set `client_seconds` on a subclass."""

    client_seconds = 30.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.leaving: dict[Any, float] = {}
        self.crowd: deque[Any] = deque()
        self.places = max(1, self.cfg.threads * 3 // 4)

    def enqueue_req(self, conn: Any) -> None:
        """A request begins: on a new connection, or on one that was kept alive."""
        if not isinstance(conn.sock, TimedSocket):
            conn.sock = TimedSocket(fileno=conn.sock.detach())
            conn.sock.seconds = self.client_seconds
        conn.ahead = Ahead()
        if conn.parser is not None:
            conn.ahead.data += conn.parser.unreader.take_buffered()
        conn.sock.deadline = conn.ahead.since + self.client_seconds
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """In a thread: whether to keep the connection, or the stage of a request that has to wait."""
        self._read_ahead(conn, NEXT_PACKET_SECONDS)
        stage = conn.ahead.stage
        if stage is Stage.PART or (stage is Stage.LARGE and not conn.ahead.admitted):
            return stage if self.alive else False
        if not conn.ahead.data:
            return False  # it was closed
        conn.data_ready = True
        conn.init()
        conn.parser.unreader.unread(bytes(conn.ahead.data))
        conn.ahead.data.clear()
        return super().handle(conn)

    def on_pending_socket_readable(self, conn: Any, client: Any) -> None:
        """In the main loop: more of a request has come."""
        self._read_ahead(conn, 0.0)
        if conn.ahead.stage is Stage.PART:
            return
        self.poller.unregister(client)
        self.pending_conns.remove(conn)
        if conn.ahead.stage is Stage.LARGE:
            self._admit(conn)
        else:
            super().enqueue_req(conn)

    def murder_pending(self) -> None:
        """Close the connections of clients that are too slow with a request, or with closing their end."""
        now = time.monotonic()
        patience = self.client_seconds if self.alive else min(LINGER_SECONDS, self.client_seconds)
        for conn in [conn for conn in self.pending_conns if now > conn.ahead.since + patience]:
            self.pending_conns.remove(conn)
            self._drop(conn)
        for conn in [conn for conn in self.crowd if now > conn.ahead.since + patience]:
            self.crowd.remove(conn)
            self._drop(conn)
        for conn in [conn for conn, until in self.leaving.items() if now > until]:
            self._drop(conn)

    def finish_request(self, conn: Any, done: Any) -> None:
        """In the main loop: keep the connection, wait for more of a request, or say goodbye and wait for an answer."""
        if conn.ahead.admitted:
            conn.ahead.admitted = False
            self.places += 1
            if self.crowd:
                self._admit(self.crowd.popleft())
        if done.cancelled() or done.exception() is not None or done.result() is True:
            super().finish_request(conn, done)
        elif done.result() is Stage.LARGE:
            self._admit(conn)
        elif done.result() is Stage.PART and self.alive:
            conn.sock.setblocking(False)
            self.pending_conns.append(conn)
            self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))
        else:
            self._say_goodbye(conn)

    def _say_goodbye(self, conn: Any) -> None:
        """Close our end, and let the poller wait until the client has closed its own."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            conn.sock.deadline = math.inf
            self.poller.register(conn.sock, EVENT_READ, lambda client: self._hear_out(conn))
            self.leaving[conn] = time.monotonic() + LINGER_SECONDS
        except (OSError, ValueError):
            self._drop(conn)

    def _admit(self, conn: Any) -> None:
        """A thread for a LARGE request, or a place in the queue for one."""
        if self.places > 0:
            self.places -= 1
            conn.ahead.admitted = True
            super().enqueue_req(conn)
        else:
            self.crowd.append(conn)

    def _read_ahead(self, conn: Any, seconds: float) -> None:
        """Read what is there, waiting so long for each packet, until there is enough."""
        ahead, client = conn.ahead, conn.sock
        if ahead.stage is Stage.PART:
            ahead.stage = stage_of(ahead.data)
        client.settimeout(seconds)
        while ahead.stage is Stage.PART:
            try:
                chunk = socket.socket.recv(client, READ_AHEAD_BYTES)
            except (TimeoutError, BlockingIOError):
                return
            except OSError:
                chunk = b""
            ahead.data += chunk
            ahead.stage = stage_of(ahead.data) if chunk else Stage.WHOLE

    def _hear_out(self, conn: Any) -> None:
        """The client of a closed connection says something more, or closes its end."""
        with suppress(OSError):
            if conn.sock.recv(READ_AHEAD_BYTES):
                return
        self._drop(conn)

    def _drop(self, conn: Any) -> None:
        self.leaving.pop(conn, None)
        with suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()
