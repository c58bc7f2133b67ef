"""How often something may be done: a bucket of tokens for each key, refilled evenly (own code: `limits`, the library,
takes 0.4 s to import, half of the web process's start)."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

BUCKETS_KEPT = 10_000
"""Buckets kept; the one used longest ago goes first."""


class RateLimiter:
    """Counts in this process only. `clock`: seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._guard = clock, threading.Lock()
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def wait(self, key: Hashable, per_minute: int) -> float:
        """0.0 and a token less when there is one, else the seconds until there is one. `per_minute` fit at once."""
        with self._guard:
            now = self._clock()
            tokens, since = self._buckets.pop(key, (float(per_minute), now))
            tokens = min(float(per_minute), tokens + (now - since) * per_minute / 60)
            allowed = tokens >= 1
            self._buckets[key] = (tokens - 1 if allowed else tokens, now)
            if len(self._buckets) > BUCKETS_KEPT:
                self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) * 60 / per_minute
