"""Honest test cases: how the live version answered each task before it learned the task's label (decision 0001)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from backend.store.connection import Client, guarded
from backend.store.keys import project_key

KEPT = 2000
"""Rows kept per project."""


class EvidenceStore:
    """Rows of `{"version", "control", "annotation", "n", "log_loss", "correct", "confidence"}`, oldest first."""

    def __init__(self, client: Client) -> None:
        self._redis = client

    @guarded
    def append(self, project: int, rows: Sequence[dict[str, Any]]) -> None:
        """Add rows; the oldest over KEPT go."""
        if not rows:
            return
        key = project_key(project, "evidence")
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.rpush(key, *(json.dumps(row) for row in rows))
        pipeline.ltrim(key, -KEPT, -1)
        pipeline.execute()

    @guarded
    def rows(self, project: int, last: int = KEPT) -> list[dict[str, Any]]:
        """The last rows."""
        return [json.loads(row) for row in self._redis.lrange(project_key(project, "evidence"), -last, -1)]

    @guarded
    def count(self, project: int) -> int:
        """Rows kept now."""
        return int(self._redis.llen(project_key(project, "evidence")))
