"""A project's queue, as understudy keeps it and as Label Studio lists it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from backend.store.stores import Stores
from tests.e2e.conftest import Studio, wait_until

Found = TypeVar("Found")

SCORE, VERSIONS = "tasks:predictions_score", "tasks:predictions_model_versions"
"""Columns of the Data Manager."""

SCORED = {"filter": f"filter:{SCORE}", "operator": "greater_or_equal", "type": "Number", "value": 0}
BY_SCORE: dict[str, Any] = {"ordering": [SCORE], "filters": {"conjunction": "and", "items": [SCORED]}}
"""What the project's queue gave a score, least first."""


class Queue:
    """What understudy plans, and has put into the queue, which may be replaced while a task is asked."""

    def __init__(self, stores: Stores, project: int) -> None:
        self._steering, self._examples, self.project = stores.task_queue, stores.examples, project
        self._batches: dict[float, set[int]] = {}
        self._guard = threading.Lock()

    def state(self) -> dict[str, Any]:
        return self._steering.state(self.project)

    def ask(self) -> None:
        """A new plan, as `understudy queue PROJECT --plan` asks for it."""
        wait_until(lambda: self._steering.enqueue_plan(self.project), "a plan can be asked for")

    def plan(self) -> dict[str, Any]:
        return self._steering.plan(self.project)

    def holds(self, answers: int) -> bool:
        """Whether Label Studio's queue was chosen with so many answers. One made amid them is asked for anew: the few
        that it lacks make none due."""
        late = self.plan().get("answers", 0) < answers <= self._examples.answers(self.project)
        if late:
            self._steering.enqueue_plan(self.project)
        return not late and self.state().get("answers", 0) >= answers and self.is_written()

    def is_written(self) -> bool:
        """Whether Label Studio's queue is the last plan."""
        return bool(self.plan().get("at") == self.state().get("at"))

    def steady(self, read: Callable[[], Found]) -> Found:
        """What `read` finds while no queue replaces another: labels that came before may still ask for a new one."""

        def once() -> tuple[Found] | None:
            before = (self.plan().get("at"), self.state().get("version"))
            found = read()
            after = (self.plan().get("at"), self.state().get("version"))
            return (found,) if before == after and self.is_written() else None

        found: tuple[Found] = wait_until(once, "the same queue before and after it is read")
        return found[0]

    def listed(self, studio: Studio) -> list[tuple[int, float]]:
        """(task, score), as the Data Manager lists them."""
        path = f"/api/tasks?project={self.project}&page_size=1000&fields=all&query={json.dumps(BY_SCORE)}"
        return [(int(task["id"]), float(task["predictions_score"])) for task in studio.call("GET", path)["tasks"]]

    def tasks(self) -> set[int]:
        """Those of the last three plans."""
        with self._guard:
            batches = self._remember()
            return set().union(*(batches[at] for at in sorted(batches)[-3:]))

    def written(self) -> set[int]:
        """Those that Label Studio has as its queue."""
        with self._guard:
            batches = self._remember()
            return batches.get(self.state().get("at", 0.0), set())

    def _remember(self) -> dict[float, set[int]]:
        """The plans seen so far, by their time."""
        if plan := self.plan():
            self._batches[plan["at"]] = {entry["task"] for entry in plan["entries"]}
        return self._batches
