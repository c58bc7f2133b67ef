"""Rejects of this process until they are stored: counted together, one log line now and then, never in the way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from backend.errors import StoreUnavailable
from backend.labelstudio.reject_limits import TASKS_REMEMBERED
from backend.labelstudio.rejects import Reject
from backend.rejects.report import describe_reject
from backend.store.rejects import OF_NO_PROJECT, RejectRow
from backend.store.stores import Stores
from backend.telemetry.log_throttle import LogThrottle

log = logging.getLogger(__name__)

WAITING_KINDS = 200
"""Kinds that may wait to be stored."""

Key = tuple[int, str, Reject]


@dataclass
class _Waiting:
    times: int = 0
    tasks: set[int] = field(default_factory=set)


class RejectNotes:
    """`count`: called with the code of each reject, for /metrics."""

    def __init__(self, count: Callable[[str, int], None] = lambda code, times: None) -> None:
        self._count, self._guard, self._throttle = count, threading.Lock(), LogThrottle()
        self._waiting: dict[Key, _Waiting] = {}

    def note(self, project: int | None, where: str, rejects: Iterable[tuple[int | None, Reject]]) -> None:
        """(task, why) of each; never waits, never raises. A task without an id, as in files, is in the log only."""
        told: dict[Reject, int] = {}
        for task, reject in rejects:
            told[reject] = told.get(reject, 0) + 1
            if where != "tasks" or task is not None:
                self._keep(project or OF_NO_PROJECT, where, reject, task)
        for reject, times in told.items():
            self._count(reject.code, times)
            held_back = self._throttle.admit((project, where, reject), times)
            if held_back is not None and where != "requests":
                more = max(0, held_back + 1 - times)
                log.warning(
                    "project=%s: %s%s",
                    project or "-",
                    describe_reject(where, reject.words, times),
                    f" ({more} more since the last line)" if more else "",
                )

    def _keep(self, project: int, where: str, reject: Reject, task: int | None) -> None:
        key = (project, where, reject)
        with self._guard:
            if key not in self._waiting and len(self._waiting) >= WAITING_KINDS:
                return
            waiting = self._waiting.setdefault(key, _Waiting())
            waiting.times += 1
            if task is not None and len(waiting.tasks) < TASKS_REMEMBERED:
                waiting.tasks.add(task)

    def store(self, stores: Stores) -> None:
        """What waits, into Redis; what could not be stored waits on. Raises StoreUnavailable."""
        with self._guard:
            waiting, self._waiting = self._waiting, {}
        try:
            while waiting:
                (project, where, reject), entry = next(iter(waiting.items()))
                known = project if stores.projects.knows(project) else OF_NO_PROJECT
                words = reject.words if known == project else f"{reject.words} (project {project})"
                row = RejectRow(where, reject.code, words, entry.times, sorted(entry.tasks))
                stores.rejects.add(known, [row])
                del waiting[project, where, reject]
        except StoreUnavailable:
            with self._guard:
                self._waiting = {**waiting, **self._waiting}
            raise
