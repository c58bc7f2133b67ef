"""Whether the object store answers, as this process has last seen it."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Condition:
    """`since`: Unix time at which it began to be so. `error`: what the store said; "" when it answers."""

    since: float
    error: str = ""

    @property
    def is_away(self) -> bool:
        return bool(self.error)


class Watch:
    """Told of every call; one assignment a change, so safe from several threads."""

    def __init__(self) -> None:
        self.now = Condition(time.time())
        self.failed_at = float("-inf")
        """Of the clock that never goes back."""

    def answered(self) -> None:
        if self.now.is_away:
            self.now = Condition(time.time())

    def failed(self, error: str) -> None:
        since = self.now.since if self.now.is_away else time.time()
        self.now, self.failed_at = Condition(since, error), time.monotonic()

    def failed_within(self, seconds: float) -> bool:
        """Whether it was away a moment ago: then a caller that can do without asks nothing."""
        return self.now.is_away and time.monotonic() - self.failed_at < seconds
