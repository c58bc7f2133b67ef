"""The same thing said many times is one log line now and then: a batch of a thousand bad tasks must not fill a disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

EVERY_SECONDS = 600.0
KEYS_KEPT = 50
"""Different things said within EVERY_SECONDS; beyond that all others share one line."""


@dataclass
class _LastLine:
    at: float
    held_back: int = 0


class LogThrottle:
    """Per process. `clock`: seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._guard = clock, threading.Lock()
        self._said: dict[Hashable, _LastLine] = {}

    def admit(self, key: Hashable, times: int = 1) -> int | None:
        """How often `key` came without a line since its last one, when it is time for another; None when it is not."""
        with self._guard:
            now = self._clock()
            if key not in self._said and len(self._said) >= KEYS_KEPT:
                self._said = {known: said for known, said in self._said.items() if now - said.at < EVERY_SECONDS}
                key = key if len(self._said) < KEYS_KEPT else None
            said = self._said.get(key)
            if said is not None and now - said.at < EVERY_SECONDS:
                said.held_back += times
                return None
            self._said[key] = _LastLine(now, 0)
            return (said.held_back if said else 0) + times - 1
