"""What steering the queue asks of Label Studio's API, besides what everybody asks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from backend.labelstudio.rest.client import Json, number_filter
from backend.labelstudio.rest.tabs import TabsClient

REQUEST_TASKS = 200
"""Tasks asked for in one URL."""


class QueueClient(TabsClient):
    """Every method raises LabelStudioError."""

    def free_tasks(self, project: int, tasks: Sequence[int]) -> list[int]:
        """Those of `tasks` that nobody has answered, skipped, begun to draft or asked about, in their order."""
        free: set[int] = set()
        for start in range(0, len(tasks), REQUEST_TASKS):
            chosen = {"all": False, "included": list(tasks[start : start + REQUEST_TASKS])}
            filters = {
                "conjunction": "and",
                "items": _FREE,
            }
            query = json.dumps({"ordering": ["tasks:id"], "selectedItems": chosen, "filters": filters})
            params = {"project": project, "page": 1, "page_size": REQUEST_TASKS, "query": query, "resolve_uri": "false"}
            found = self._object("GET", "api/tasks/", params=params).get("tasks") or []
            free |= {int(task["id"]) for task in found if not task.get("unresolved_comment_count")}
        return [task for task in tasks if task in free]

    def create_prediction(self, task: int, result: Any, score: float, version: str, cluster: int | None) -> Json:
        """One prediction; its cluster the bulk import would not store."""
        body = {"task": task, "result": result, "score": score, "model_version": version}
        return self._object("POST", "api/predictions/", body if cluster is None else {**body, "cluster": cluster})

    def delete_backend(self, backend: int) -> None:
        """Remove the connection; its webhook and predictions stay."""
        self._transport.call("DELETE", f"api/ml/{backend}")

    def delete_webhook(self, webhook: int) -> None:
        """Remove a webhook."""
        self._transport.call("DELETE", f"api/webhooks/{webhook}/")


_FREE = [
    number_filter("total_annotations", "equal", 0),
    number_filter("cancelled_annotations", "equal", 0),
    {"filter": "filter:tasks:draft_exists", "operator": "equal", "type": "Boolean", "value": False},
]
