"""Brings announced versions to this machine on threads of its own, so that nothing that answers waits for a store."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypedDict

from backend.artifacts.artifacts import Artifacts
from backend.artifacts.layout import CLOCK
from backend.errors import ArtifactsUnavailable, MissingPackage

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Versions fetched at the same time."""

PROBE_SECONDS = 15.0
"""Between two questions to a store that nothing else asks: whether it is there is told in /ready and the metrics."""


class StoreAnswer(TypedDict):
    """`seconds`: for so long it has been so. `fetching`: versions on their way here."""

    state: Literal["answers", "away"]
    seconds: int
    fetching: list[str]


class Prefetch:
    """Thread-safe. One attempt a version at a time; a failed one is forgotten when it has been told."""

    def __init__(self, artifacts: Artifacts) -> None:
        self.artifacts = artifacts
        self.fetched, self.failed, self.seconds = 0, 0, 0.0
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="prefetch")
        self._coming: dict[tuple[int, str], Future[Path]] = {}
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._probe = threading.Thread(target=self._ask, name="artifacts", daemon=True)

    def start(self) -> None:
        """Begin to ask now and then whether the store is there."""
        self._probe.start()

    def stop(self) -> None:
        """What is under way is given up with the process."""
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def want(self, project: int, version: str) -> Future[Path]:
        """Begin to fetch it, unless it comes already."""
        with self._guard:
            key = (project, version)
            if key not in self._coming:
                self._coming[key] = self._pool.submit(self._fetch, project, version)
            return self._coming[key]

    def arrived(self, project: int, version: str, until: float) -> bool:
        """Whether it is here, verified; waits for it until that reading of the monotonic clock. Raises what its last
        attempt raised: the next call begins another one."""
        future = self.want(project, version)
        try:
            future.result(max(0.0, until - time.monotonic()))
        except NotYet:
            if not future.done():
                return False
            raise
        finally:
            if future.done():
                with self._guard:
                    self._coming.pop((project, version), None)
        return True

    def coming(self) -> list[str]:
        """Versions under way, as `project version`."""
        with self._guard:
            return [f"{project} {version}" for (project, version), one in self._coming.items() if not one.done()]

    def describe(self) -> StoreAnswer:
        """How the store is, for people and load balancers: without what it said, which may name hosts."""
        now = self.artifacts.store.watch.now
        state: Literal["answers", "away"] = "away" if now.is_away else "answers"
        return {"state": state, "seconds": round(time.time() - now.since), "fetching": self.coming()}

    def _fetch(self, project: int, version: str) -> Path:
        began = time.monotonic()
        try:
            path = self.artifacts.ensure(project, version)
        except BaseException:
            self.failed += 1
            raise
        self.fetched += 1
        self.seconds += time.monotonic() - began
        return path

    def _ask(self) -> None:
        while not self._stop.is_set():
            with suppress(ArtifactsUnavailable, MissingPackage):
                self.artifacts.store.facts(CLOCK)
            self._stop.wait(PROBE_SECONDS)
