"""Who uses the hosts all the time: people who label in Label Studio, and clients who ask each web host for predictions.

What they see is kept with when they saw it: which version each host answered with, and each answer that did not come.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import requests

from tests.e2e.conftest import Studio

ASK_SECONDS = 0.1
TASKS_PER_REQUEST = 3

UNKNOWN_TASK = 100_000_000
"""Id of the first one: one that Label Studio has may be a blind one, which gets no answer on purpose."""

Row = tuple[int, str]
"""A task of Label Studio, and its right label."""


@dataclass
class Sight:
    """When a version was first seen, and failures as (when, why). `excused`: the host is being harmed, or was not ready
    since."""

    first_seen: dict[str, float] = field(default_factory=dict)
    latest: str = ""
    asked: int = 0
    failures: list[tuple[float, str]] = field(default_factory=list)
    excused: bool = False


class Worker:
    """A thread that works until `stop`."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when it has ended."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(30)

    def _run(self) -> None:
        raise NotImplementedError


class Asker(Worker):
    """Asks one web host for predictions, all the time."""

    def __init__(self, url: str, project: int, config: str, texts: Sequence[str]) -> None:
        super().__init__()
        self.sight = Sight()
        self._url, self._texts = url, itertools.cycle(texts)
        self._fields = {"project": f"{project}.1", "label_config": config}
        self._session = requests.Session()

    def _run(self) -> None:
        while not self._ended.wait(ASK_SECONDS):
            self._ask()

    def _ask(self) -> None:
        sight, excused = self.sight, self.sight.excused
        tasks = [{"id": UNKNOWN_TASK + n, "data": {"text": next(self._texts)}} for n in range(TASKS_PER_REQUEST)]
        try:
            body = {"tasks": tasks, **self._fields}
            reply = self._session.post(f"{self._url}/predict", json=body, timeout=20)
            results = reply.json()["results"] if reply.status_code == 200 else []
            why = (
                "" if len(results) == TASKS_PER_REQUEST and all(results) else f"{reply.status_code} {reply.text[:200]}"
            )
        except (requests.RequestException, ValueError) as error:
            why, results = repr(error)[:200], []
            self._session = requests.Session()
        now = time.time()
        if why:
            if not (excused or sight.excused):  # or somebody has begun to harm it meanwhile
                sight.failures.append((now, why))
            return
        sight.asked += 1
        for result in results:
            sight.latest = str(result["model_version"])
            sight.first_seen.setdefault(sight.latest, now)


class Labeller(Worker):
    """Somebody who labels in Label Studio, task after task. `known`: annotation -> when Label Studio had it.
    Nobody labels while `guard` is held."""

    def __init__(self, studio: Studio, rows: Sequence[Row], seconds: float) -> None:
        super().__init__()
        self._studio, self._rows, self._seconds = studio, iter(rows), seconds
        self.guard = threading.RLock()
        self.known: dict[int, float] = {}

    def label(self, count: int) -> None:
        """So many now, one after the other."""
        for _ in range(count):
            self._label_next()

    def _label_next(self) -> None:
        with self.guard:
            task, label = next(self._rows)
            self.known[self._studio.annotate(task, label)] = time.time()

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            with suppress(requests.RequestException):  # Label Studio is slow today: nobody was told that it has it
                self._label_next()


def delays(moves: Sequence[tuple[str, float]], sight: Sight) -> list[float]:
    """Seconds from each publish until the host answered with that version or a later one; `moves` oldest first. Those
    that it has not reached are left out."""
    found = []
    seen = {version: sight.first_seen[version] for version, _ in moves if version in sight.first_seen}
    for place, (_, at) in enumerate(moves):
        later = [seen[version] for version, _ in moves[place:] if version in seen]
        if later:
            found.append(max(0.0, min(later) - at))
    return found
