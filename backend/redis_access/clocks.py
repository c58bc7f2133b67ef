"""How far the clocks of the machines are from Redis's, which is the one that all of them can see.

Leases and signs of life hang on no machine's clock; but what is shown as a time, the order of an admin's actions and
the ends of trainings are stamped by whoever writes them, and Label Studio's `updated_at` by a third.
"""

from __future__ import annotations

import json
import logging
import socket
import time

from backend.redis_access.connection import Client, guarded
from backend.redis_access.keys import CLOCKS

log = logging.getLogger(__name__)

MEASURE_SECONDS = 60.0
"""Between two measurements of one process."""

FORGET_SECONDS = 900.0
"""After which the clock of a machine that says nothing is not told any more, by Redis's clock."""

WARN_SECONDS, FAIL_SECONDS = 2.0, 10.0
"""Apart; a beat of a training counts as lost after 20."""


class ClockWatch:
    """One process's eyes on its machine's clock."""

    def __init__(self, client: Client) -> None:
        self._redis = client
        self._next, self._told = 0.0, False

    @guarded
    def poll(self) -> None:
        """Measures and writes down, every MEASURE_SECONDS; says once in the log when it is far off."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + MEASURE_SECONDS
        ahead, now = measure(self._redis)
        self._redis.hset(CLOCKS, socket.gethostname(), json.dumps({"ahead": round(ahead, 3), "at": round(now)}))
        if abs(ahead) > WARN_SECONDS and not self._told:
            where = "ahead of" if ahead > 0 else "behind"
            log.warning(
                "this machine's clock is %.1f s %s Redis's: let both take their time from NTP", abs(ahead), where
            )
        self._told = abs(ahead) > WARN_SECONDS


def measure(client: Client) -> tuple[float, float]:
    """(seconds by which this machine's clock is ahead of Redis's, Redis's time). As exact as half a round trip."""
    began = time.time()
    seconds, micro = client.time()
    now = int(seconds) + int(micro) / 1e6
    return (began + time.time()) / 2 - now, now


@guarded
def read_clocks(client: Client) -> dict[str, float]:
    """Host -> seconds by which its clock is ahead of Redis's, of the machines that were heard of lately."""
    now = int(client.time()[0])
    found: dict[str, float] = {}
    for host, text in client.hgetall(CLOCKS).items():
        try:
            said = json.loads(text)
            if now - float(said["at"]) <= FORGET_SECONDS:
                found[str(host)] = float(said["ahead"])
        except (ValueError, TypeError, KeyError):
            continue
    return dict(sorted(found.items()))
