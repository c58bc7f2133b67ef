"""What understudy asks of Label Studio's API, in the order of a project's life: create, connect, list."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from backend.errors import LabelStudioError
from backend.labelstudio.rest.transport import ATTEMPTS_PER_CALL, READ_SECONDS, Transport
from backend.settings.settings import Settings

PAGE_TASKS = 200
"""Tasks a page: about a second of a small Label Studio's time, with annotations and predictions."""

NEIGHBOUR_TASKS = 50
"""Tasks that follow one another in a sample: 4,000 are drawn from 80 places."""

MEMORY_EFFICIENT_IMPORT = "fflag_fix_back_4620_memory_efficient_predictions_import_08012025_short"
"""True in Label Studio's environment, it lets a bulk import count anew only the tasks that get predictions by it."""

TIMEOUT_SECONDS = 100.0
"""What Label Studio waits for a prediction (its own default)."""

EVERY_ACTION = {"send_payload": True, "send_for_all_actions": True, "is_active": True}
"""Of a webhook: what it sends."""

Json = dict[str, Any]

Client = TypeVar("Client", bound="LabelStudioClient")


class LabelStudioClient:
    """One Label Studio, by URL and token (personal access token or legacy token). Every method raises
    LabelStudioError; its evidence holds the HTTP `status` and, where known, a `hint`. Nothing is sent before the
    first call."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        ca_file: str = "",
        attempts: int = ATTEMPTS_PER_CALL,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._transport = Transport(url, api_key, ca_file=ca_file, attempts=attempts, read_seconds=read_seconds)

    @classmethod
    def of(cls: type[Client], settings: Settings, **options: Any) -> Client:
        """The one that the settings name."""
        key = settings.label_studio_api_key.get_secret_value()
        return cls(settings.label_studio_url, key, ca_file=settings.label_studio_ca_file, **options)

    def __enter__(self: Client) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections."""
        self._transport.close()

    # Itself

    def version(self) -> str:
        """Its release, such as 1.23.2; "" when it does not say."""
        return str(self._object("GET", "api/version/").get("release") or "")

    def whoami(self) -> Json:
        """The user whose token this is."""
        return self._object("GET", "api/current-user/whoami")

    # Projects

    def create_project(self, title: str, label_config: str, **fields: Any) -> Json:
        """The new project."""
        return self._object("POST", "api/projects/", {"title": title, "label_config": label_config, **fields})

    def project(self, project: int) -> Json:
        """Its fields: id, title, label_config, model_version, sampling, task_number, …"""
        return self._object("GET", f"api/projects/{project}/")

    def set_project(self, project: int, **fields: Any) -> Json:
        """Change fields, such as `sampling="Uncertainty sampling"` or `label_config`."""
        return self._object("PATCH", f"api/projects/{project}/", fields)

    # The connection to this backend

    def backends(self, project: int) -> list[Json]:
        """Its ML backends. Label Studio asks each for /health and /setup before it answers."""
        return self._list("GET", "api/ml/", params={"project": project})

    def create_or_update_backend(
        self,
        project: int,
        *,
        url: str,
        title: str,
        basic_auth: tuple[str, str] | None = None,
        backend: int | None = None,
    ) -> Json:
        """The backend with this URL and title; `backend` is the id of the one to change, None makes one.

        Label Studio tries the URL first. Its refusal of private addresses is a 403 (see the hint); with only one of
        its two switches set the backend row is made all the same, without a webhook."""
        body: Json = {"project": project, "url": url, "title": title, "timeout": TIMEOUT_SECONDS, "auth_method": "NONE"}
        if basic_auth:
            body |= {"auth_method": "BASIC_AUTH", "basic_auth_user": basic_auth[0], "basic_auth_pass": basic_auth[1]}
        if backend is None:
            return self._object("POST", "api/ml/", body)
        return self._object("PATCH", f"api/ml/{backend}", body)

    def webhooks(self, project: int) -> list[Json]:
        """Its webhooks: id, url, headers, is_active, …"""
        return self._list("GET", "api/webhooks/", params={"project": project})

    def create_webhook(self, project: int, *, url: str, headers: Mapping[str, str] | None = None) -> Json:
        """A webhook for every action, with payload."""
        body = {"project": project, "url": url, "headers": dict(headers or {}), **EVERY_ACTION}
        return self._object("POST", "api/webhooks/", body)

    def patch_webhook(self, webhook: int, *, url: str, headers: Mapping[str, str]) -> Json:
        """Set URL and headers, and see to it that everything is sent. Label Studio refuses headers without the URL."""
        body = {"url": url, "headers": dict(headers), **EVERY_ACTION}
        return self._object("PATCH", f"api/webhooks/{webhook}/", body)

    def would_send(self, webhook: int, *, url: str) -> None:
        """Sets a webhook's URL to what it is, which changes nothing: Label Studio refuses (403) where it does not send.

        Only for webhooks for all actions: the list of chosen ones would be emptied."""
        self._object("PATCH", f"api/webhooks/{webhook}/", {"url": url})

    # Tasks

    def iter_annotations(self, project: int, page: int = PAGE_TASKS) -> Iterator[tuple[Json, list[Json]]]:
        """(task, its annotations) of every task that somebody answered or skipped, ascending by task id.

        Pages by "id greater than the last one", so that no task is passed over while others come and go. Raises on
        any page that is not whole: whoever deletes what is not listed may rely on a listing that ended."""
        for task in self._tasks(project, ("total_annotations", "cancelled_annotations"), page):
            yield task, _annotations_of(task)

    def count_without_annotation(self, project: int) -> int:
        """How many tasks nobody has answered."""
        return self._page(project, _query_unanswered(0), 1)[1]

    def tasks_without_annotation(self, project: int) -> Iterator[Json]:
        """All tasks that nobody has answered, by id."""
        return self._tasks(project, (), PAGE_TASKS, answered=False)

    def sample_without_annotation(self, project: int, size: int) -> Iterator[Json]:
        """About `size` of the tasks that nobody has answered, spread evenly over the ids; few may come twice."""
        first, _ = self._page(project, _query_unanswered(0), 1)
        last, _ = self._page(project, _query_unanswered(0, "-tasks:id"), 1)
        if not first or not last:
            return
        low, high = int(first[0]["id"]), int(last[0]["id"])
        places = -(-size // NEIGHBOUR_TASKS)
        for place in range(places):
            above = low - 1 + int((high - low + 1) * (place + random.random()) / places)
            yield from self._page(project, _query_unanswered(above), NEIGHBOUR_TASKS)[0]

    def task(self, task: int) -> Json:
        """One task: id, project, data, annotations, predictions."""
        return self._object("GET", f"api/tasks/{task}/", params={"resolve_uri": "false"})

    def import_tasks(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> list[int]:
        """Import tasks (`{"data": {…}}`, or the bare data); their ids in the same order."""
        params = {"return_task_ids": "true"}
        reply = self._object("POST", f"api/projects/{project}/import", list(tasks), params)
        ids = reply.get("task_ids")
        if not isinstance(ids, list) or len(ids) != len(tasks):
            raise LabelStudioError(f"Label Studio imported {reply.get('task_count')} of {len(tasks)} tasks", status=201)
        return [int(task) for task in ids]

    # Predictions

    def import_predictions(self, project: int, predictions: Sequence[Mapping[str, Any]]) -> int:
        """Store `{"task", "result", "score", "model_version"}` in bulk; how many: it drops, unsaid, what does not fit
        the label config, and takes none (400) when one task is gone. It stores no `cluster` this way.

        Each call costs Label Studio 1.23 some .2 ms for every task of the project besides, however few it brings,
        unless its environment has MEMORY_EFFICIENT_IMPORT."""
        reply = self._object("POST", f"api/projects/{project}/import/predictions", list(predictions))
        return int(reply.get("created") or 0)

    def prediction_versions(self, project: int) -> dict[str, int]:
        """Model version -> predictions stored of it."""
        reply = self._object("GET", f"api/projects/{project}/model-versions/")
        return {str(version): int(count) for version, count in reply.items()}

    def delete_predictions(self, project: int, version: str) -> int:
        """Delete those of one version; how many."""
        reply = self._object("DELETE", f"api/projects/{project}/model-versions/", {"model_version": version})
        return int(reply.get("deleted_predictions") or 0)

    def _tasks(self, project: int, counters: Sequence[str], page: int, *, answered: bool = True) -> Iterator[Json]:
        """Tasks ascending by id with any of the counters above 0, or (`answered` false) with no annotation."""
        last = 0
        while True:
            query = _query(counters, last) if answered else _query_unanswered(last)
            tasks, total = self._page(project, query, page, {"fields": "all"} if answered else None)
            for task in tasks:
                if task["id"] <= last:
                    raise LabelStudioError("Label Studio's list of tasks is out of order", status=200, project=project)
                last = task["id"]
                yield task
            if total <= page:
                return

    def _page(
        self, project: int, query: str, size: int, more: Mapping[str, Any] | None = None
    ) -> tuple[list[Json], int]:
        """(The first `size` tasks of a Data Manager query, how many it has.)"""
        params = {
            "project": project,
            "page": 1,
            "page_size": size,
            "query": query,
            "resolve_uri": "false",
            **(more or {}),
        }
        reply = self._object("GET", "api/tasks/", params=params)
        tasks, total = reply.get("tasks"), reply.get("total")
        if not isinstance(tasks, list) or not isinstance(total, int) or len(tasks) != min(total, size):
            raise LabelStudioError("Label Studio's list of tasks is not whole", status=200, project=project)
        if not all(isinstance(task, dict) and isinstance(task.get("id"), int) for task in tasks):
            raise LabelStudioError("Label Studio's list of tasks has one without an id", status=200, project=project)
        return tasks, total

    def _object(self, method: str, path: str, body: Any = None, params: Mapping[str, Any] | None = None) -> Json:
        reply = self._transport.call(method, path, body, params)
        if not isinstance(reply, dict):
            raise LabelStudioError(f"{path}: Label Studio answered something else than an object", path=path)
        return reply

    def _list(self, method: str, path: str, params: Mapping[str, Any]) -> list[Json]:
        reply = self._transport.call(method, path, None, params)
        if not isinstance(reply, list):
            raise LabelStudioError(f"{path}: Label Studio answered something else than a list", path=path)
        return reply


def _query(counters: Sequence[str], last: int) -> str:
    """Data Manager query: id above `last` and any counter above 0."""
    above = number_filter("id", "greater", last)
    return ordered_query(
        "or", [{**number_filter(counter, "greater", 0), "child_filter": above} for counter in counters]
    )


def _query_unanswered(last: int, order: str = "tasks:id") -> str:
    """Data Manager query: id above `last`, and not one annotation."""
    above, unanswered = number_filter("id", "greater", last), number_filter("total_annotations", "equal", 0)
    return ordered_query("and", [above, unanswered], order)


def ordered_query(conjunction: str, items: list[Json], order: str = "tasks:id") -> str:
    """Data Manager query of tasks that pass any ("or") or all ("and") of the filters."""
    return json.dumps({"ordering": [order], "filters": {"conjunction": conjunction, "items": items}})


def number_filter(column: str, operator: str, value: int) -> Json:
    """A filter on a column that holds numbers."""
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": "Number", "value": value}


def _annotations_of(task: Mapping[str, Any]) -> list[Json]:
    """The task's annotations. Raises LabelStudioError when they were not sent: no annotations is not an empty list."""
    annotations = task.get("annotations")
    if not isinstance(annotations, list) or not all(isinstance(item, dict) for item in annotations):
        raise LabelStudioError("Label Studio's list of tasks has no annotations", status=200, task=task.get("id"))
    return annotations
