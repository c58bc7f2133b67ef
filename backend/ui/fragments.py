"""Parts of pages that were made already: those who ask for the same part at the same news share one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

KEPT_BYTES = 4 << 20
KEPT_FRAGMENTS = 64

WAIT_SECONDS = 5.0
"""How long somebody waits for a part that another thread makes, before making it as well."""


class Key(NamedTuple):
    """What a part is made from. Nothing of a session: whatever is in a part is shown to everybody who may see it."""

    address: str
    news: str


class _Making:
    """A part that a thread is making."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.made: bytes | None = None


class Fragments:
    """The last parts that were made. Thread-safe."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, bytes] = OrderedDict()
        self._making: dict[Key, _Making] = {}
        self._size = 0
        self._guard = threading.Lock()

    def get(self, key: Key, make: Callable[[], bytes]) -> bytes:
        """The part of this key. One thread makes it, others that want it meanwhile wait; raises what `make` raises."""
        with self._guard:
            if (kept := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return kept
            other = self._making.get(key)
            mine = self._making.setdefault(key, _Making())
        if other is not None:
            other.done.wait(WAIT_SECONDS)
            return other.made if other.made is not None else make()
        try:
            mine.made = make()
            self._keep(key, mine.made)
            return mine.made
        finally:
            with self._guard:
                del self._making[key]
            mine.done.set()

    def _keep(self, key: Key, made: bytes) -> None:
        with self._guard:
            self._kept[key] = made
            self._size += len(made)
            while self._size > KEPT_BYTES or len(self._kept) > KEPT_FRAGMENTS:
                _, gone = self._kept.popitem(last=False)
                self._size -= len(gone)
