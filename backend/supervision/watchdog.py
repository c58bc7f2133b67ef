"""Kills the supervisor's children that have let their deadline pass (heartbeat.py); it then starts them again.

Loads nothing heavy: it lives in the supervisor, which must outlast everything.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

POLL_SECONDS = 1.0
"""Seconds between two checks."""


class Watchdog:
    """`children` gives the process ids that may be killed; a file of any other process is ignored."""

    def __init__(self, folder: Path, children: Callable[[], Iterable[int]]) -> None:
        self._folder, self._children = folder, children
        self._next = 0.0
        for left in folder.glob("*") if folder.is_dir() else ():
            left.unlink(missing_ok=True)  # of processes that are gone: their ids are given again

    def kill_late(self) -> list[int]:
        """Kill the processes that are late; their ids. Costs nothing within POLL_SECONDS of the last check."""
        now = time.monotonic()
        if now < self._next:
            return []
        self._next = now + POLL_SECONDS
        late = [child for child in self._children() if self._is_late(child, now)]
        for child in late:
            with suppress(OSError):
                sys.stderr.write(f"process {child} has let its deadline pass and is killed\n")
            with suppress(OSError):
                os.kill(child, signal.SIGKILL)
            (self._folder / str(child)).unlink(missing_ok=True)
        return late

    def _is_late(self, child: int, now: float) -> bool:
        try:
            return now > float((self._folder / str(child)).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return False  # it works on nothing that has a deadline
