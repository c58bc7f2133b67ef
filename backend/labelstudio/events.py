"""Reads a webhook body of Label Studio into one typed event. PROTOCOL: section 5 of the design."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.errors import BadRequest

LARGEST_ID = 2**63 - 1
"""Ids are 64-bit integers in Label Studio's database."""


@dataclass(frozen=True)
class Event:
    """What happened in one project. `label_config` is the project's config of that moment, when it was sent."""

    project_id: int
    label_config: str | None = None


@dataclass(frozen=True)
class AnnotationsUpserted(Event):
    """Annotations were created or changed: (annotation, its task or None when the task was not sent)."""

    items: list[tuple[Mapping[str, Any], Mapping[str, Any] | None]] = field(default_factory=list)


@dataclass(frozen=True)
class AnnotationsDeleted(Event):
    """Annotations are gone. Label Studio sends their ids only."""

    ids: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class TasksDeleted(Event):
    """Tasks are gone, and their annotations with them: no ANNOTATIONS_DELETED follows."""

    ids: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class TasksCreated(Event):
    """New tasks. Annotations imported along with them come in no event; only a resync sees them."""

    tasks: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class ProjectUpdated(Event):
    """A project setting changed, maybe the label config."""


@dataclass(frozen=True)
class StartTraining(Event):
    """Somebody pressed Start Training, or Label Studio asks for it by itself. Carries no data."""


@dataclass(frozen=True)
class Ignored:
    """Nothing to do. `lost` says that data was announced and not sent: only a resync can fetch it."""

    action: str
    project_id: int | None = None
    lost: bool = False


def parse_webhook(body: Any) -> Event | Ignored:
    """The event in this webhook body. Unknown actions are Ignored; so is a known one without any payload, which a
    webhook with `send_payload` off sends (`lost`). Raises BadRequest whose evidence names the unusable field."""
    if not isinstance(body, Mapping):
        raise BadRequest("the body is not a JSON object", field="body")
    action = body.get("action")
    if not isinstance(action, str) or not action:
        raise _bad("action", "a string is needed")
    read = _ACTIONS.get(action)
    if read is None:
        return Ignored(action)
    if "project" not in body and not any(key in body for key in _PAYLOADS):
        return Ignored(action, lost=True)
    project_id, label_config = _project(body)
    return read(body, project_id, label_config)


def read_project_id(value: Any) -> int:
    """The project id in `7`, `"7"` or Label Studio's `"7.1795455205"` (id.created_at). Raises BadRequest."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_ID:
        return value
    if isinstance(value, str) and (match := _PROJECT.fullmatch(value)) and int(match.group(1)) > 0:
        return int(match.group(1))
    raise _bad("project", "a project id such as 7 or '7.1795455205' is needed")


def read_id(value: Any, name: str) -> int:
    """A positive 64-bit id, also as digits in a string. Raises BadRequest naming the field."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_ID:
        return value
    raise _bad(name, "a positive integer is needed")


_PROJECT = re.compile(r"([0-9]{1,18})(\.[0-9]{1,20})?")
_DIGITS = re.compile(r"[0-9]{1,18}")
_PAYLOADS = ("annotation", "annotations", "task", "tasks")


def _bad(name: str, what: str) -> BadRequest:
    return BadRequest(f"{name}: {what}", field=name)


def _project(body: Mapping[str, Any]) -> tuple[int, str | None]:
    """Project id and label config. The project is an object in webhooks; a bare id is taken as well."""
    project = body.get("project")
    if isinstance(project, Mapping):
        if "id" not in project:
            raise _bad("project.id", "is missing")
        config = project.get("label_config")
        if config is not None and not isinstance(config, str):
            raise _bad("project.label_config", "a string is needed")
        return read_id(project["id"], "project.id"), config or None
    if project is None:
        raise _bad("project", "is missing")
    return read_project_id(project), None


def _objects(body: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The objects under `name`: one, or a list of them; none when it is missing. Raises BadRequest."""
    value = body.get(name)
    values = value if isinstance(value, list) else [] if value is None else [value]
    for item in values:
        if not isinstance(item, Mapping):
            raise _bad(name, "an object or a list of objects is needed")
    return values


def _upserted(body: Mapping[str, Any], project: int, config: str | None) -> Event:
    annotations = _objects(body, "annotation") or _objects(body, "annotations")
    if not annotations and not isinstance(body.get("annotation"), list):
        raise _bad("annotation", "is missing")
    tasks = _objects(body, "task") or _objects(body, "tasks")
    by_id = {read_id(task.get("id"), "task.id"): task for task in tasks if task.get("id") is not None}
    items: list[tuple[Mapping[str, Any], Mapping[str, Any] | None]] = []
    for annotation in annotations:
        read_id(annotation.get("id"), "annotation.id")
        number = annotation.get("task")
        if number is None and len(tasks) == 1:
            items.append((annotation, tasks[0]))
        else:
            items.append((annotation, by_id.get(read_id(number, "annotation.task"))))
    return AnnotationsUpserted(project, config, items)


def _ids(body: Mapping[str, Any], plural: str, singular: str) -> list[int]:
    """Ids of the objects (or bare ids) under `plural`, or `singular`. Raises BadRequest."""
    name = plural if plural in body else singular
    value = body.get(name)
    if value is None:
        raise _bad(plural, "is missing")
    items = value if isinstance(value, list) else [value]
    return [read_id(item.get("id") if isinstance(item, Mapping) else item, f"{name}.id") for item in items]


def _annotations_deleted(body: Mapping[str, Any], project: int, config: str | None) -> Event:
    return AnnotationsDeleted(project, config, _ids(body, "annotations", "annotation"))


def _tasks_deleted(body: Mapping[str, Any], project: int, config: str | None) -> Event:
    return TasksDeleted(project, config, _ids(body, "tasks", "task"))


def _tasks_created(body: Mapping[str, Any], project: int, config: str | None) -> Event:
    return TasksCreated(project, config, _objects(body, "tasks") or _objects(body, "task"))


def _project_updated(body: Mapping[str, Any], project: int, config: str | None) -> Event:
    return ProjectUpdated(project, config)


def _start_training(body: Mapping[str, Any], project: int, config: str | None) -> Event:
    return StartTraining(project, config)


_ACTIONS: dict[str, Callable[[Mapping[str, Any], int, str | None], Event]] = {
    "ANNOTATION_CREATED": _upserted,
    "ANNOTATIONS_CREATED": _upserted,
    "ANNOTATION_UPDATED": _upserted,
    "ANNOTATIONS_DELETED": _annotations_deleted,
    "ANNOTATION_DELETED": _annotations_deleted,  # in the list of older back ends; 1.23 sends the plural
    "TASKS_CREATED": _tasks_created,
    "TASKS_DELETED": _tasks_deleted,
    "PROJECT_UPDATED": _project_updated,
    "START_TRAINING": _start_training,
}
