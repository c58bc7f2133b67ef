"""The record of a run: one JSON object a line, written as it happens, read back by the checker."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator
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
