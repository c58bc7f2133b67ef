"""How many /predict requests may be in the house: the other HTTP threads are kept for labels, /setup and /health."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from backend.errors import Overloaded

RETRY_AFTER = 2
"""Seconds: a chunk or two later there is room."""

KEPT_SHARE = 0.25
"""Of the HTTP threads, that no /predict may take."""


class Admission:
    """Counts requests. Thread-safe."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._slots = threading.BoundedSemaphore(most)

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Be one of at most `most`. Raises Overloaded at once when they are all there: waiting would hold a thread."""
        if not self._slots.acquire(blocking=False):
            raise Overloaded(f"{self.most} requests for predictions wait already", retry_after=RETRY_AFTER)
        try:
            yield
        finally:
            self._slots.release()


def predict_slots(threads: int) -> int:
    """Requests for predictions that may wait in a web process with so many HTTP threads."""
    return max(1, threads - max(1, round(threads * KEPT_SHARE)))
