"""A circuit breaker: a Label Studio that does not answer is left alone for a while, so that no worker and no web thread
waits for it again and again. (Own code: what the libraries add, storage and listeners, is of no use here.)"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import lru_cache

OPENING_FAILURES = 4
"""Attempts without an answer, one after the other, that open it: those of one call."""

REST_SECONDS = 15.0
"""Seconds until one call may try again; the others wait for what it finds."""


class Breaker:
    """What this process knows of one Label Studio. Any answer counts, a refusal too. `clock`: never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._guard = clock, threading.Lock()
        self._failures = 0
        self._until = 0.0

    def wait(self) -> float:
        """0.0 when a call may be made, else the seconds until one may."""
        with self._guard:
            now = self._clock()
            if self._failures < OPENING_FAILURES:
                return 0.0
            if now < self._until:
                return self._until - now
            self._until = now + REST_SECONDS
            return 0.0

    def note(self, answered: bool) -> None:
        """How an attempt went."""
        with self._guard:
            self._failures = 0 if answered else self._failures + 1
            if self._failures >= OPENING_FAILURES:
                self._until = self._clock() + REST_SECONDS


@lru_cache(maxsize=64)
def breaker_of(url: str) -> Breaker:
    """The one breaker of this process for a Label Studio."""
    return Breaker()
