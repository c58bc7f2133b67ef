"""Label Studio's Data Manager, as its API has it: pages of tasks with the versions of their predictions; its tabs."""

from __future__ import annotations

from collections.abc import Sequence

from backend.errors import LabelStudioError
from backend.labelstudio.rest.client import PAGE_TASKS, Json, number_filter, ordered_query
from backend.labelstudio.rest.tabs import TabsClient

CUT_AT = 500
"""Characters of a list that Label Studio shows in a column."""

_EVERY_VERSION = {
    "filter": "filter:tasks:predictions_model_versions",
    "operator": "not_contains",
    "type": "List",
    "value": ["\u241e"],
}
"""True of every task. Label Studio computes only the columns that a filter names, unless all are asked for."""


class DataManagerClient(TabsClient):
    """The client, and what only whole-project work asks for."""

    def page_of_tasks(
        self, project: int, after: int, upto: int | None = None, *, most: int = PAGE_TASKS, labelled: bool = True
    ) -> list[Json]:
        """The next tasks by id, above `after` and up to `upto`, each with `versions`: the model versions of its
        predictions, exactly. `labelled` off leaves out what somebody has answered. An empty list: there are no more."""
        items = [number_filter("id", "greater", after), _EVERY_VERSION]
        items += [] if upto is None else [number_filter("id", "less_or_equal", upto)]
        items += [] if labelled else [number_filter("total_annotations", "equal", 0)]
        tasks = self._ascending(project, ordered_query("and", items), most)
        for task in tasks:
            task["versions"] = self._versions_of(task)
        return tasks

    def range_of_tasks(self, project: int, *, labelled: bool = True) -> tuple[int, int, int]:
        """(lowest id, highest id, how many tasks); zeros when there are none. `labelled` as above."""
        items = [] if labelled else [number_filter("total_annotations", "equal", 0)]
        ends = []
        for order in ("tasks:id", "-tasks:id"):
            params = {"project": project, "page": 1, "page_size": 1, "query": ordered_query("and", items, order)}
            reply = self._object("GET", "api/tasks/", params={**params, "resolve_uri": "false"})
            tasks = reply.get("tasks") or []
            ends.append((int(tasks[0]["id"]) if tasks else 0, int(reply.get("total") or 0)))
        return ends[0][0], ends[1][0], min(ends)[1]

    def predictions_of(self, project: int, versions: Sequence[str], *, most: int = 1000) -> list[Json]:
        """Predictions of these versions, of the first `most` tasks that have any."""
        item = {**_EVERY_VERSION, "operator": "contains", "value": list(versions)}
        params = {"project": project, "page": 1, "page_size": most, "fields": "all", "resolve_uri": "false"}
        reply = self._object("GET", "api/tasks/", params={**params, "query": ordered_query("and", [item])})
        found = [it for task in reply.get("tasks") or () for it in task.get("predictions") or ()]
        return [it for it in found if it.get("model_version") in versions]

    def _ascending(self, project: int, query: str, most: int) -> list[Json]:
        """One page of tasks by id. Raises LabelStudioError when it is not whole or not ascending."""
        tasks, _ = self._page(project, query, most)
        ids = [task["id"] for task in tasks]
        if ids != sorted(set(ids)):
            raise LabelStudioError("Label Studio's list of tasks is out of order", status=200, project=project)
        return tasks

    def _versions_of(self, task: Json) -> frozenset[str]:
        """Label Studio cuts the list of versions at 500 characters: then the predictions are asked for themselves."""
        shown = str(task.get("predictions_model_versions") or "")
        if len(shown) < CUT_AT:
            return frozenset(version.strip() for version in shown.split(",") if version.strip())
        found = self._list("GET", "api/predictions/", params={"task": task["id"]})
        return frozenset(str(prediction.get("model_version") or "") for prediction in found)
