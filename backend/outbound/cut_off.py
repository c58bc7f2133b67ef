"""A time limit of a whole call: a client's own ones are of each read."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Protocol


class _Stream(Protocol):
    """What the client's library reports of a connection."""

    def get_extra_info(self, info: str) -> object: ...


class CutOff:
    """Of one client, which makes one call at a time. A connection that it keeps is reported with the first call alone,
    so that it is remembered for the others."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    @contextmanager
    def within(self, limit: float) -> Iterator[object]:
        """The client's trace hook, for a call of at most `limit` seconds. A server that sends a byte now and then would
        hold the caller for ever."""
        over = threading.Event()

        def trace(event: str, info: Mapping[str, object]) -> None:
            stream: _Stream | None = info.get("return_value")  # type: ignore[assignment]
            if event.endswith((".connect_tcp.complete", ".start_tls.complete")) and stream is not None:
                found = stream.get_extra_info("socket")
                if isinstance(found, socket.socket):
                    self._socket = found
                if over.is_set():
                    cut()

        def cut() -> None:
            over.set()
            if self._socket is not None:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(limit, cut)
        timer.daemon = True
        timer.start()
        try:
            yield trace
        finally:
            timer.cancel()
