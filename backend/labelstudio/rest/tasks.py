"""Tasks, as Label Studio's Data Manager lists them: page by page, ascending by id."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

from backend.errors import LabelStudioError
from backend.labelstudio.rest.transport import Json, Transport

PAGE_TASKS = 200
"""Tasks a page: about a second of a small Label Studio's time, with annotations and predictions. So
many ids go into one URL, too."""

NEIGHBOUR_TASKS = 50
"""Tasks that follow one another in a sample: 4,000 are drawn from 80 places."""

CUT_AT = 500
"""Characters of a list that Label Studio shows in a column."""


def number_filter(column: str, operator: str, value: int) -> Json:
    """A filter on a column that holds numbers."""
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": "Number", "value": value}


def versions_filter(operator: str, versions: Sequence[str]) -> Json:
    """A filter on the model versions of a task's predictions."""
    column = "filter:tasks:predictions_model_versions"
    return {"filter": column, "operator": operator, "type": "List", "value": list(versions)}


_EVERY_VERSION = versions_filter("not_contains", ["\u241e"])
"""True of every task. Label Studio computes only the columns that a filter names, unless all are asked for."""

_UNANSWERED = number_filter("total_annotations", "equal", 0)

_FREE = [
    _UNANSWERED,
    number_filter("cancelled_annotations", "equal", 0),
    {"filter": "filter:tasks:draft_exists", "operator": "equal", "type": "Boolean", "value": False},
]

NOBODY = {"conjunction": "and", "items": [_UNANSWERED]}


class Tasks:
    """Every method raises LabelStudioError, where a page is not whole, too: whoever deletes what is not listed may rely
    on a listing that ended."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, task: int) -> Json:
        """One task: id, project, data, annotations, predictions."""
        return self._transport.call_object("GET", f"api/tasks/{task}/", params={"resolve_uri": "false"})

    def add(self, project: int, tasks: Sequence[Mapping[str, object]]) -> list[int]:
        """Import tasks (`{"data": {…}}`, or the bare data); their ids in the same order."""
        params = {"return_task_ids": "true"}
        reply = self._transport.call_object("POST", f"api/projects/{project}/import", list(tasks), params)
        ids = reply.get("task_ids")
        if not isinstance(ids, list) or len(ids) != len(tasks):
            raise LabelStudioError(f"Label Studio imported {reply.get('task_count')} of {len(tasks)} tasks", status=201)
        return [int(task) for task in ids]

    def with_annotations(self, project: int, size: int = PAGE_TASKS) -> Iterator[tuple[Json, list[Json]]]:
        """(task, its annotations) of every task that somebody answered or skipped, ascending by task id.

        Pages by "id greater than the last one", so that no task is passed over while others come and go."""
        for task in self._walk(project, _query_answered, size, fields="all"):
            yield task, _annotations_of(task)

    def has_annotation(self, annotation: int) -> bool:
        """Whether there is such an annotation, listed or not."""
        try:
            self._transport.call_object("GET", f"api/annotations/{annotation}/")
        except LabelStudioError as error:
            if error.evidence.get("status") != 404:
                raise
            return False
        return True

    def count_unanswered(self, project: int) -> int:
        """How many tasks nobody has answered."""
        return self._page(project, _query_unanswered(0), 1)[1]

    def unanswered(self, project: int) -> Iterator[Json]:
        """All tasks that nobody has answered, by id."""
        return self._walk(project, _query_unanswered, PAGE_TASKS)

    def sample_unanswered(self, project: int, size: int) -> Iterator[Json]:
        """About `size` of the tasks that nobody has answered, spread evenly over the ids; few may come twice."""
        low, high, _ = self.bounds(project, labelled=False)
        if not low or not high:
            return
        places = -(-size // NEIGHBOUR_TASKS)
        for place in range(places):
            above = low - 1 + int((high - low + 1) * (place + random.random()) / places)
            yield from self._page(project, _query_unanswered(above), NEIGHBOUR_TASKS)[0]

    def page(
        self, project: int, after: int, upto: int | None = None, *, most: int = PAGE_TASKS, labelled: bool = True
    ) -> list[Json]:
        """The next tasks by id, above `after` and up to `upto`, each with `versions`: the model versions of its
        predictions, exactly. `labelled` off leaves out what somebody has answered. An empty list: there are no more."""
        items = [number_filter("id", "greater", after), _EVERY_VERSION]
        items += [] if upto is None else [number_filter("id", "less_or_equal", upto)]
        items += [] if labelled else [_UNANSWERED]
        tasks, _ = self._page(project, ordered_query("and", items), most)
        _require_ascending(project, [after, *(task["id"] for task in tasks)])
        for task in tasks:
            task["versions"] = self._versions_of(task)
        return tasks

    def versions(self, project: int, tasks: Sequence[int]) -> dict[int, frozenset[str]]:
        """The model versions of the predictions of `tasks`, of those that are still there."""
        found: dict[int, frozenset[str]] = {}
        for start in range(0, len(tasks), PAGE_TASKS):
            chosen = {"all": False, "included": list(tasks[start : start + PAGE_TASKS])}
            query = ordered_query("and", [_EVERY_VERSION], selectedItems=chosen)
            listed = self._ask(project, query, PAGE_TASKS).get("tasks") or []
            found |= {int(task["id"]): self._versions_of(task) for task in listed}
        return found

    def bounds(self, project: int, *, labelled: bool = True) -> tuple[int, int, int]:
        """(lowest id, highest id, how many tasks); zeros when there are none. `labelled` as above."""
        items = [] if labelled else [_UNANSWERED]
        ends = []
        for order in ("tasks:id", "-tasks:id"):
            tasks, total = self._page(project, ordered_query("and", items, order), 1)
            ends.append((int(tasks[0]["id"]) if tasks else 0, total))
        return ends[0][0], ends[1][0], min(ends)[1]

    def free(self, project: int, tasks: Sequence[int]) -> list[int]:
        """Those of `tasks` that nobody has answered, skipped, begun to draft or asked about, in their order."""
        free = self.free_tasks(project, tasks)
        return [task for task in tasks if task in free]

    def free_tasks(self, project: int, tasks: Sequence[int]) -> dict[int, Json]:
        """The same, with the tasks themselves."""
        free: dict[int, Json] = {}
        for start in range(0, len(tasks), PAGE_TASKS):
            chosen = {"all": False, "included": list(tasks[start : start + PAGE_TASKS])}
            found = self._ask(project, ordered_query("and", _FREE, selectedItems=chosen), PAGE_TASKS).get("tasks") or []
            free |= {int(task["id"]): task for task in found if not task.get("unresolved_comment_count")}
        return free

    def some(self, project: int, tasks: Sequence[int]) -> dict[int, Json]:
        """Those of `tasks` that there are, by id."""
        found: dict[int, Json] = {}
        for start in range(0, len(tasks), PAGE_TASKS):
            chosen = {"all": False, "included": list(tasks[start : start + PAGE_TASKS])}
            listed = self._ask(project, ordered_query("and", [], selectedItems=chosen), PAGE_TASKS).get("tasks") or []
            found |= {int(task["id"]): task for task in listed}
        return found

    def predicted(self, project: int, versions: Sequence[str], most: int) -> list[Json]:
        """The first `most` tasks that have predictions of these versions, with all of their predictions."""
        query = ordered_query("and", [versions_filter("contains", versions)])
        return list(self._ask(project, query, most, fields="all").get("tasks") or [])

    def _versions_of(self, task: Json) -> frozenset[str]:
        """Label Studio cuts the list of versions at 500 characters: then the predictions are asked for themselves."""
        shown = str(task.get("predictions_model_versions") or "")
        if len(shown) < CUT_AT:
            return frozenset(version.strip() for version in shown.split(",") if version.strip())
        found = self._transport.call_list("api/predictions/", {"task": task["id"]})
        return frozenset(str(prediction.get("model_version") or "") for prediction in found)

    def _walk(self, project: int, query: Callable[[int], str], size: int, **more: str) -> Iterator[Json]:
        """Tasks ascending by id; `query` says what is asked for above an id."""
        last = 0
        while True:
            tasks, total = self._page(project, query(last), size, **more)
            for task in tasks:
                _require_ascending(project, [last, task["id"]])
                last = task["id"]
                yield task
            if total <= size:
                return

    def _page(self, project: int, query: str, size: int, **more: str) -> tuple[list[Json], int]:
        """(The first `size` tasks of a Data Manager query, how many it has.)"""
        reply = self._ask(project, query, size, **more)
        tasks, total = reply.get("tasks"), reply.get("total")
        if not isinstance(tasks, list) or not isinstance(total, int) or len(tasks) != min(total, size):
            raise LabelStudioError("Label Studio's list of tasks is not whole", status=200, project=project)
        if not all(isinstance(task, dict) and isinstance(task.get("id"), int) for task in tasks):
            raise LabelStudioError("Label Studio's list of tasks has one without an id", status=200, project=project)
        return tasks, total

    def _ask(self, project: int, query: str, size: int, **more: str) -> Json:
        params = {"project": project, "page": 1, "page_size": size, "query": query, "resolve_uri": "false", **more}
        return self._transport.call_object("GET", "api/tasks/", params=params)


def _query_answered(last: int) -> str:
    """Data Manager query: id above `last`, and answered or skipped by somebody."""
    above = number_filter("id", "greater", last)
    counters = ("total_annotations", "cancelled_annotations")
    return ordered_query("or", [{**number_filter(name, "greater", 0), "child_filter": above} for name in counters])


def _query_unanswered(last: int) -> str:
    """Data Manager query: id above `last`, and not one annotation."""
    return ordered_query("and", [number_filter("id", "greater", last), _UNANSWERED])


def ordered_query(conjunction: str, items: Sequence[Json], order: str = "tasks:id", **more: object) -> str:
    """Data Manager query of tasks that pass any ("or") or all ("and") of the filters."""
    return json.dumps({"ordering": [order], **more, "filters": {"conjunction": conjunction, "items": items}})


def _require_ascending(project: int, ids: Sequence[int]) -> None:
    if any(one >= other for one, other in pairwise(ids)):
        raise LabelStudioError("Label Studio's list of tasks is out of order", status=200, project=project)


def _annotations_of(task: Mapping[str, object]) -> list[Json]:
    """The task's annotations. Raises LabelStudioError when they were not sent: no annotations is not an empty list."""
    annotations = task.get("annotations")
    if not isinstance(annotations, list) or not all(isinstance(item, dict) for item in annotations):
        raise LabelStudioError("Label Studio's list of tasks has no annotations", status=200, task=task.get("id"))
    return annotations
