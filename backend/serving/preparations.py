"""Models for label configs with very many labels, made aside: no request waits until thousands of names are read."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

from backend.errors import NotReady
from model.spec import TaskSpec

if TYPE_CHECKING:
    from model.versions.live_model import LiveModel

log = logging.getLogger(__name__)

MANY_LABELS = 1000
"""Labels whose names are read within the request: a second on one core. 6,000 take several."""

PREPARATION_WAIT_SECONDS = 1.0
"""Seconds that a request waits for a model that is being made."""

Key = TypeVar("Key", bound=Hashable)


class Preparing(NotReady):
    """The label names of this project are being read for the first time; ask again in a moment."""

    code = "preparing"


def is_large(spec: TaskSpec) -> bool:
    """Whether a model for this config is made aside."""
    return sum(len(control.labels) for control in spec.questions) > MANY_LABELS


class Preparations(Generic[Key]):
    """Thread-safe: one thread a key, and one key at a time, since they all want the same cores."""

    def __init__(self) -> None:
        self._running: dict[Key, threading.Event] = {}
        self._guard, self._turn = threading.Lock(), threading.Lock()

    def start(self, key: Key, make: Callable[[], LiveModel], keep: Callable[[LiveModel], None]) -> threading.Event:
        """Set when `make` has ended, and `keep` has its result unless it failed; a running one is not started again."""
        with self._guard:
            done = self._running.get(key)
            if done is None:
                done = self._running[key] = threading.Event()
                name = "preparation"
                threading.Thread(target=self._run, args=(key, done, make, keep), name=name, daemon=True).start()
        return done

    def _run(
        self, key: Key, done: threading.Event, make: Callable[[], LiveModel], keep: Callable[[LiveModel], None]
    ) -> None:
        try:
            with self._turn:
                keep(make())
        except Exception:  # the next request tries again
            log.exception("a model for a large label config could not be made")
        finally:
            with self._guard:
                del self._running[key]
            done.set()
