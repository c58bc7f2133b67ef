"""One project as Label Studio and its annotators use it: the requests they make, and what they get."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from tests.support.rig import Project, Rig
from tests.support.six_projects import Made


class Labelling(Project):
    """A made project on a running product. Task ids: `task_id` of labelled rows, `held_out_id` of the others."""

    def __init__(self, rig: Rig, made: Made) -> None:
        super().__init__(rig, made.number, [], made.config)
        self.made = made

    def task_id(self, index: int) -> int:
        return self.number * 1_000 + index

    def held_out_id(self, index: int) -> int:
        return self.number * 1_000 + 500 + index

    def ask(self, patience: float) -> list[Any]:
        """The answers to all held-out tasks. What was not done within the deadline is asked for again, as Label Studio
        does for tasks without a prediction."""
        deadline = time.monotonic() + patience
        items = self._ask()
        while not all(items) and time.monotonic() < deadline:
            items = self._ask()
        return items

    def _ask(self) -> list[Any]:
        tasks = [{"id": self.held_out_id(index), "data": row.data} for index, row in enumerate(self.made.held_out)]
        body = {
            "tasks": tasks,
            "project": f"{self.number}.1795455205",
            "label_config": self.config,
            "params": {"login": None, "password": None, "context": None},
        }
        return list(self.rig.post("/predict", body)["results"])

    def annotate(self, indices: Sequence[int]) -> None:
        """Submit the true answers of labelled rows: one as from the page, several as "predictions to annotations"."""
        pairs = [self._pair(index) for index in indices]
        if len(pairs) == 1:
            event = self.event("ANNOTATION_CREATED", **pairs[0])
        else:
            lists = {key: [pair[key] for pair in pairs] for key in ("annotation", "task")}
            event = self.event("ANNOTATIONS_CREATED", **lists)
        reply = self.rig.webhook(event)
        assert reply["outcomes"] == {"stored": len(pairs)}, reply

    def has_learned(self) -> bool:
        """Whether a version that knows all labels is served."""
        status = self.rig.admin("GET", f"/projects/{self.number}")
        return status["pending"] == 0 and status["live"] == status["served"] != "v0"

    def _pair(self, index: int) -> dict[str, Any]:
        row, number = self.made.labelled[index], self.task_id(index)
        now = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
        annotation = {
            "id": 100_000 + number,
            "result": self.made.result(row.answers),
            "was_cancelled": False,
            "ground_truth": False,
            "created_at": now,
            "updated_at": now,
            "lead_time": 3.2,
            "task": number,
            "project": self.number,
            "completed_by": 1,
            "parent_prediction": None,
        }
        return {"annotation": annotation, "task": {"id": number, "data": row.data, "project": self.number}}
