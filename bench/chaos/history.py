"""The record of a run: one JSON object a line, written as it happens; read back, and what can be read off it."""

from __future__ import annotations

import json
import threading
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


class History:
    """Appends entries from any thread. Times are seconds of the wall clock, which the product's own stamps share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("w", encoding="utf-8")
        self._guard = threading.Lock()

    def note(self, kind: str, **fields: Any) -> None:
        """One entry; `t` is now unless given."""
        line = json.dumps({"kind": kind, "t": round(time.time(), 4), **fields}, separators=(",", ":"))
        with self._guard:
            if not self._file.closed:
                self._file.write(line + "\n")

    def close(self) -> None:
        """Nothing is noted after this."""
        with self._guard:
            self._file.close()


def read_history(path: Path) -> list[Entry]:
    """All entries, ordered by `t`."""
    with path.open(encoding="utf-8") as file:
        return sorted(map(json.loads, file), key=lambda entry: entry["t"])


def of_kind(history: Iterable[Entry], *kinds: str) -> Iterator[Entry]:
    """The entries of these kinds."""
    return (entry for entry in history if entry["kind"] in kinds)


class Starts:
    """When processes were seen first."""

    def __init__(self, history: Sequence[Entry]) -> None:
        self._first: dict[str, list[tuple[float, int]]] = {}
        known: set[int] = set()
        for entry in of_kind(history, "seen"):
            for role, pids in entry["roles"].items():
                self._first.setdefault(role, []).extend((entry["t"], pid) for pid in pids if pid not in known)
                known.update(pids)
        self._ups = [entry["t"] for entry in of_kind(history, "up")]

    def after(self, kill: Entry) -> float | None:
        """When a process of the killed one's role was there again that had not been before; None: never."""
        if kill["role"] == "supervisor":
            return next((t for t in self._ups if t > kill["t"]), None)
        first = self._first.get(kill["role"], [])
        later = first[bisect_left(first, (kill["t"], 0)) :]
        return next((t for t, pid in later if pid not in kill["had"]), None)


def web_away(history: Sequence[Entry]) -> list[tuple[float, float]]:
    """From each end of the web process to the first yes of /ready that its successor gave."""
    starts = Starts(history)
    yes = [entry["t0"] for entry in of_kind(history, "ready") if entry["status"] == 200]
    away = []
    for kill in of_kind(history, "kill"):
        if kill["role"] in ("web", "supervisor"):
            back = starts.after(kill)
            since = len(yes) if back is None else bisect_left(yes, back)
            away.append((kill["t"], yes[since] if since < len(yes) else float("inf")))
    return away
