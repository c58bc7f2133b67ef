"""What of a project's pool is there again, or unlike all others, as the learner found it last."""

from __future__ import annotations

import json

from backend.record_json import PoolReport
from backend.redis_access.connection import UNREADABLE, Client, guarded
from backend.redis_access.keys import project_key


class PoolReportStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client) -> None:
        self._redis = client

    @guarded
    def save(self, project: int, report: PoolReport) -> None:
        """In place of the one before."""
        self._redis.set(project_key(project, "pool:report"), json.dumps(report))

    @guarded
    def read(self, project: int) -> PoolReport | None:
        """None before the first, and for what cannot be read: it is made anew."""
        try:
            text = self._redis.get(project_key(project, "pool:report"))
            return _report(json.loads(text)) if text else None
        except UNREADABLE:
            return None


def _report(data: PoolReport) -> PoolReport:
    """Raises AttributeError, KeyError, TypeError or ValueError on foreign data."""
    return {
        "at": float(data["at"]),
        "seq": int(data["seq"]),
        "pool": int(data["pool"]),
        "tasks": int(data["tasks"]),
        "compared": int(data["compared"]),
        "labelled": int(data["labelled"]),
        "counts": {str(kind): int(count) for kind, count in data["counts"].items()},
        "rows": [{**row, "task": int(row["task"]), "kind": str(row["kind"])} for row in data["rows"]],
    }
