"""How long something that another process keeps changing has stood still, by this process's own monotonic clock.

Time stamps of two machines, or of one before and after its clock was set, must not be subtracted: a training would look
dead for an hour that never was, or alive for one. What is compared here is only whether a value is still the same.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

KEYS_REMEMBERED = 10_000


class Staleness:
    """Looks count from the first one: a process that has just begun to look has seen nothing stand still."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._seen: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def seconds(self, name: str, value: object) -> float:
        """For how long `name` has had this value at every look; 0 at the first one."""
        now, shown = self.clock(), str(value)
        before, since = self._seen.get(name, ("", now))
        if name not in self._seen or before != shown:
            since = now
        self._seen[name] = (shown, since)
        self._seen.move_to_end(name)
        if len(self._seen) > KEYS_REMEMBERED:
            self._seen.popitem(last=False)
        return now - since
