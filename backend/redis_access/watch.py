"""Checks Redis periodically: does it still keep what it acknowledges, and is it still the same server?

Somebody may reconfigure it while all runs. A failover may lead to a replica that lacks the last writes, or has other
settings; a restart may have cut a damaged end off the append-only file: after either a reconciliation is due.
"""

from __future__ import annotations

import logging
import time

import redis

from backend.errors import StoreUnavailable
from backend.redis_access.clocks import ClockWatch
from backend.redis_access.connection import Client, find_problems, guarded
from backend.settings.settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0


class RedisWatch:
    """One process's eyes. `problems`: what could lose a label, as of the last look."""

    def __init__(self, client: Client, settings: Settings, seconds: float = LOOK_SECONDS) -> None:
        self._redis, self._allowed, self._seconds = client, settings.allow_unsafe_redis, seconds
        self._next, self._run = 0.0, ""
        self._clock = ClockWatch(client)
        self.problems: list[str] = []

    @guarded
    def poll(self) -> set[str]:
        """What has happened since the last look: `restarted` (or failed over), `unsafe`, `safe` again. Most calls
        return at once: it looks every LOOK_SECONDS."""
        if time.monotonic() < self._next:
            return set()
        self._clock.poll()
        problems, run = find_problems(self._redis), self._run_id()
        self._next = time.monotonic() + self._seconds
        happened = {"restarted"} if self._run and run != self._run else set()
        if problems != self.problems:
            happened.add("unsafe" if problems else "safe")
        self.problems, self._run = problems, run
        if "unsafe" in happened:
            log.error("redis could lose labels from now on: %s", "; ".join(problems))
        elif "safe" in happened:
            log.warning("redis is safe again")
        return happened

    def require_safe(self) -> None:
        """Raises StoreUnavailable when what was stored just now may not survive: it must not be acknowledged."""
        if self.problems and not self._allowed:
            raise StoreUnavailable(
                f"stored, but this Redis could lose it: {'; '.join(self.problems)}. Set them with CONFIG SET and in "
                "its config file, or accept the loss with ALLOW_UNSAFE_REDIS=true"
            )

    def _run_id(self) -> str:
        try:
            return str(self._redis.info("server")["run_id"])
        except redis.ResponseError:
            return ""  # not allowed to ask
