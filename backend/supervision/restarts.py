"""Which process of `understudy up` ends again and again, and what it said last: something never gets done.

Read off supervisord's own log: a process that dies at its work still shows signs of life in Redis."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

EXITED = re.compile(r"exited: (?P<name>\S+) \((?P<how>.*); (?:not )?expected\)")

WINDOW_SECONDS = 600.0
"""How far back is looked."""

FREQUENT_ENDS = 3
"""Ends in that time that are no accident."""

TAIL_BYTES = 256 << 10
"""Bytes of the log that are read: some thousand lines."""


@dataclass(frozen=True)
class Restarts:
    """Of one process: how often it ended within WINDOW_SECONDS, how the last time, and the last line of its log."""

    name: str
    count: int
    how: str
    last_words: str

    def __str__(self) -> str:
        minutes = WINDOW_SECONDS / 60
        return f"{self.name} ended {self.count} times in {minutes:.0f} minutes ({self.how}). {self.last_words}"


def find_restarts(data_dir: Path, now: float | None = None) -> list[Restarts]:
    """The processes that ended FREQUENT_ENDS or more; none where there is no log to read."""
    logs, since = data_dir.absolute() / "logs", (time.time() if now is None else now) - WINDOW_SECONDS
    ends: dict[str, list[str]] = {}
    for line in _tail(logs / "supervisord.log"):
        if (match := EXITED.search(line)) and _stamp(line) >= since:
            ends.setdefault(match["name"], []).append(match["how"])
    return [
        Restarts(name, len(how), how[-1], last_line(logs / f"{name}.log"))
        for name, how in ends.items()
        if len(how) >= FREQUENT_ENDS
    ]


def last_line(log: Path, size: int = 4096) -> str:
    """The end of a log, which says why its process died more often than not."""
    with suppress(OSError):
        lines = _tail(log, size)
        return f"Last words: {lines[-1][:300]}" if lines else "No last words"
    return "No log"


def _tail(path: Path, size: int = TAIL_BYTES) -> list[str]:
    if not path.is_file():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read().decode("utf-8", "replace").strip().splitlines()


def _stamp(line: str) -> float:
    """Of `2026-11-28 22:10:01,123 WARN …`, which is local time; 0 for none."""
    try:
        return time.mktime(time.strptime(line[:19], "%Y-%m-%d %H:%M:%S"))
    except ValueError:
        return 0.0
