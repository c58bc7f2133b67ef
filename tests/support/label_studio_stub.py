"""A stand-in for Label Studio: annotations as its database would hold them, and the routes that a reconciliation calls.

The real one takes about a second for 200 tasks and is not made for ten changes a second over half an hour. It answers
what `backend/labelstudio/rest/client.py` asks and refuses everything else; `mode` makes it fail as the real one does.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.project_kinds import SKIPPED, ProjectKind, Result, Row, choices_kind, facts_of_result

Json = dict[str, Any]
TOKEN = "f00dfeedf00dfeedf00dfeedf00dfeedf00dfeed"
MODES = ("whole", "down", "error", "unauthorized", "short page", "cut page", "no annotations", "slow")


@dataclass
class Task:
    """One task; `annotation` is its only one, None when nobody has. `answer` is the right one to its `content`."""

    number: int
    project: int
    content: Any
    answer: Any
    data: Json
    annotation: Json | None = None

    def to_json(self) -> Json:
        """As the API lists it."""
        answered = [] if self.annotation is None else [self.annotation]
        return {
            "id": self.number,
            "project": self.project,
            "data": self.data,
            "annotations": [dict(item) for item in answered],
            "predictions": [],
        }


@dataclass(frozen=True)
class Change:
    """What one change did: annotation -> [updated_at in microseconds, facts of its answer, task], or which annotations
    are gone."""

    project: int
    action: str
    body: Json
    at: float
    sets: dict[int, list[Any]] = field(default_factory=dict)
    gone: tuple[int, ...] = ()


class ReferenceModel:
    """The truth, and the webhook body that goes with each change. `kinds`: project -> what it is about.

    Thread-safe; every change is one step. Ids are never given twice, time stamps neither."""

    def __init__(self, kinds: Mapping[int, ProjectKind]) -> None:
        self.kinds = dict(kinds)
        self.guard = threading.RLock()
        self.tasks: dict[int, dict[int, Task]] = {project: {} for project in kinds}
        self._ids, self._stamp = itertools.count(1), 0

    @classmethod
    def of_choices(cls, projects: Sequence[int], labels: Sequence[str]) -> ReferenceModel:
        """Projects that all choose one of these labels."""
        return cls(dict.fromkeys(projects, choices_kind(labels)))

    def create(self, project: int, rows: Sequence[Row]) -> Change:
        """New tasks with an annotation each: one ANNOTATION_CREATED, or the list ANNOTATIONS_CREATED."""
        with self.guard:
            data = self.kinds[project].data
            tasks = [Task(next(self._ids), project, content, answer, data(content)) for content, answer in rows]
            for task in tasks:
                self.tasks[project][task.number] = task
                task.annotation = self._annotation(task, next(self._ids), task.answer)
            return self._upserted(project, tasks, "ANNOTATIONS_CREATED" if len(rows) > 1 else "ANNOTATION_CREATED")

    def update(self, task: Task, answer: Any) -> Change:
        """Another answer to an annotated task."""
        with self.guard:
            known = task.annotation or {}
            task.annotation = self._annotation(task, known["id"], answer, known["created_at"])
            return self._upserted(task.project, [task], "ANNOTATION_UPDATED")

    def copy(self, project: int, to: int) -> Change:
        """All annotations once more, in a new project: as if somebody had exported and imported it."""
        with self.guard:
            self.kinds[to], self.tasks[to] = self.kinds[project], {}
            for task in self.annotated(project):
                known = task.annotation or {}
                twin = Task(next(self._ids), to, task.content, task.answer, task.data)
                answer = SKIPPED if known["was_cancelled"] else None
                twin.annotation = self._annotation(twin, next(self._ids), answer, result=known["result"])
                self.tasks[to][twin.number] = twin
            return self._upserted(to, list(self.tasks[to].values()), "ANNOTATIONS_CREATED")

    def delete(self, tasks: Sequence[Task]) -> Change:
        """Their annotations are gone, the tasks stay."""
        with self.guard:
            ids = tuple(task.annotation["id"] for task in tasks if task.annotation)
            for task in tasks:
                task.annotation = None
            body = {"annotations": [{"id": number} for number in ids]}
            return self._change(tasks[0].project, "ANNOTATIONS_DELETED", body, gone=ids)

    def delete_tasks(self, tasks: Sequence[Task]) -> Change:
        """The tasks are gone, and their annotations with them: Label Studio names the tasks only."""
        with self.guard:
            ids = tuple(task.annotation["id"] for task in tasks if task.annotation)
            for task in tasks:
                self.tasks[task.project].pop(task.number, None)
            body = {"tasks": [{"id": task.number} for task in tasks]}
            return self._change(tasks[0].project, "TASKS_DELETED", body, gone=ids)

    def train(self, project: int) -> Change:
        """Somebody pressed Start Training."""
        return self._change(project, "START_TRAINING", {})

    def annotated(self, project: int) -> list[Task]:
        """Tasks with an annotation."""
        with self.guard:
            return [task for task in self.tasks[project].values() if task.annotation is not None]

    def annotations(self, project: int) -> dict[int, list[Any]]:
        """annotation -> [microseconds, facts, task]."""
        with self.guard:
            return {task.annotation["id"]: _facts(task) for task in self.annotated(project) if task.annotation}

    def _annotation(
        self, task: Task, number: int, answer: Any, created: str = "", result: Result | None = None
    ) -> Json:
        now, skipped = self._now(), answer == SKIPPED
        if result is None:
            result = [] if skipped else self.kinds[task.project].result(task.content, answer)
        return {
            "id": number,
            "result": result,
            "was_cancelled": skipped,
            "ground_truth": False,
            "created_at": created or now,
            "updated_at": now,
            "task": task.number,
            "project": task.project,
            "completed_by": 1,
        }

    def _now(self) -> str:
        self._stamp = max(self._stamp + 1, time.time_ns() // 1000)
        moment = datetime.fromtimestamp(self._stamp // 1_000_000, timezone.utc)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{self._stamp % 1_000_000:06d}Z"

    def _upserted(self, project: int, tasks: Sequence[Task], action: str) -> Change:
        listed = [task.to_json() for task in tasks]
        annotations = [item for task in listed for item in task.pop("annotations")]
        single = action != "ANNOTATIONS_CREATED"
        body = (
            {"annotation": annotations[0], "task": listed[0]} if single else {"annotation": annotations, "task": listed}
        )
        sets = {task.annotation["id"]: _facts(task) for task in tasks if task.annotation}
        return self._change(project, action, body, sets=sets)

    def _change(self, project: int, action: str, body: Json, **facts: Any) -> Change:
        head = {"action": action, "project": {"id": project, "label_config": self.kinds[project].config}}
        return Change(project, action, {**head, **body}, time.time(), **facts)


def _facts(task: Task) -> list[Any]:
    annotation = task.annotation or {}
    facts = SKIPPED if annotation["was_cancelled"] else facts_of_result(annotation["result"])
    return [microseconds(annotation["updated_at"]), facts, task.number]


def microseconds(stamp: str) -> int:
    """`2026-11-23T17:34:06.700182Z` as microseconds since 1970."""
    whole, _, rest = stamp.rstrip("Z").partition(".")
    seconds = int(datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc).timestamp())
    return seconds * 1_000_000 + int(rest.ljust(6, "0")[:6] or 0)


class LabelStudioStub:
    """Serves a ReferenceModel on `port`. Use as a context manager. `requests` counts what was asked."""

    def __init__(self, truth: ReferenceModel) -> None:
        self.truth, self.mode, self.requests = truth, "whole", 0
        self.unlisted: set[int] = set()
        """Tasks whose counter of annotations is wrong, so that no listing has them."""
        handler = type("Handler", (_Handler,), {"stand_in": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    def __enter__(self) -> LabelStudioStub:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        """(status, JSON) of a GET."""
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "projects"] and len(parts) == 3 and parts[2].isdigit():
            project = int(parts[2])
            kind = self.truth.kinds.get(project)
            return (200, {"id": project, "label_config": kind.config}) if kind else (404, {"detail": "Not found."})
        if parts == ["api", "tasks"]:
            return 200, self._tasks(query)
        if parts[:2] == ["api", "annotations"] and len(parts) == 3:
            known = any(int(parts[2]) in self.truth.annotations(project) for project in self.truth.tasks)
            return (200, {"id": int(parts[2])}) if known else (404, {"detail": "Not found."})
        return 404, {"detail": "Not found."}

    def _tasks(self, query: dict[str, list[str]]) -> Any:
        filters = json.loads(query["query"][0])
        page, answered = int(query["page_size"][0]), filters["filters"]["conjunction"] == "or"
        above = next(item["value"] for item in _numbers(filters["filters"]["items"]) if item["filter"] == _ID)
        with self.truth.guard:
            found = [
                task for task in self.truth.tasks[int(query["project"][0])].values() if _matches(task, answered, above)
            ]
            found = [task for task in found if task.number not in self.unlisted]
            found.sort(key=lambda task: task.number, reverse=filters["ordering"] == ["-tasks:id"])
            listed = [task.to_json() for task in found[:page]]
        if self.mode == "short page" and listed:
            listed = listed[: len(listed) // 2]
        if self.mode == "no annotations":
            for task in listed:
                task.pop("annotations")
        return {"tasks": listed, "total": len(found)}


_ID = "filter:tasks:id"


def _numbers(items: list[Any]) -> list[Any]:
    return [*items, *(item["child_filter"] for item in items if "child_filter" in item)]


def _matches(task: Task, answered: bool, above: int) -> bool:
    return task.number > above and (task.annotation is not None) == answered


class _Handler(BaseHTTPRequestHandler):
    stand_in: LabelStudioStub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """One API call, or what the mode makes of it."""
        with contextlib.suppress(ConnectionError):  # who asked was killed
            self._answer()

    def _answer(self) -> None:
        mode = self.stand_in.mode
        self.stand_in.requests += 1
        if mode == "down":
            self.close_connection = True
            return
        if mode == "slow":
            time.sleep(1.0)
        if mode == "error":
            return self._send(503, {"detail": "the database is locked"})
        if mode == "unauthorized" or TOKEN not in (self.headers.get("Authorization") or ""):
            return self._send(401, {"detail": "Invalid token."})
        where = urlsplit(self.path)
        status, body = self.stand_in.answer(where.path, parse_qs(where.query))
        self._send(status, body, cut=mode == "cut page")

    def _send(self, status: int, body: Any, cut: bool = False) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the history has it."""
