"""Reads a webhook body of Label Studio into one typed event: tolerant of what it sends, strict about the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from backend.errors import BadRequest
from backend.labelstudio.annotations import to_record
from backend.labelstudio.asked_since import ASKED_ALWAYS, Asked
from backend.labelstudio.ids import bad_field, read_id, read_project_id
from backend.labelstudio.records import ExampleRecord
from model.spec import Json, JsonObject, TaskSpec

__all__ = ["KNOWN_ACTIONS", "Event", "parse_webhook", "read_project_id", "to_record", "to_records"]

Object = JsonObject


@dataclass(frozen=True)
class Event:
    """What happened in one project. `label_config` is the project's config of that moment; None when not sent."""

    action: str
    project: int
    label_config: str | None = None

    @property
    def project_id(self) -> int:
        """The same as `project`."""
        return self.project


@dataclass(frozen=True)
class AnnotationsUpserted(Event):
    """Annotations were created or changed, each with its task; None where nothing needs the task's text."""

    items: tuple[tuple[Object, Object | None], ...] = ()


@dataclass(frozen=True)
class AnnotationsDeleted(Event):
    """Annotations are gone. Label Studio sends their ids only."""

    ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class TasksDeleted(Event):
    """Tasks are gone, and their annotations with them: no ANNOTATIONS_DELETED follows."""

    ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class TasksCreated(Event):
    """New tasks. Annotations imported along with them come in no event: only a resync sees them."""

    tasks: tuple[Object, ...] = ()


@dataclass(frozen=True)
class ProjectUpdated(Event):
    """A project setting changed, maybe the label config: `label_config` is the new one. `sampling`: how tasks are
    handed out, None when that is not said."""

    sampling: str | None = None
    title: str | None = None


@dataclass(frozen=True)
class StartTraining(Event):
    """*Start Training* was pressed, or Label Studio asks for it by itself. Carries no data."""


@dataclass(frozen=True)
class Ignored(Event):
    """Nothing to do. `incomplete` says that data was announced and not sent: only a resync can fetch it.

    `project` is 0 when the body names none."""

    incomplete: bool = False


def parse_webhook(body: Json) -> Event:
    """The event in this webhook body. Unknown actions are Ignored; so is a known one that lacks its payload (what a
    webhook with `send_payload` off sends), as `incomplete`. Raises BadRequest naming the field it cannot use."""
    if not isinstance(body, Mapping):
        raise BadRequest("the body is not a JSON object", field="body")
    action = body.get("action")
    if not isinstance(action, str) or not action:
        raise bad_field("action", "a string is needed")
    read = _ACTIONS.get(action)
    if "project" not in body and not any(key in body for key in _PAYLOADS):
        return Ignored(action, 0, incomplete=read is not None)
    project, label_config = _project(body)
    return read(action, project, label_config, body) if read else Ignored(action, project, label_config)


def to_records(
    event: Event, spec: TaskSpec, max_chars: int = 100_000, asked: Asked = ASKED_ALWAYS
) -> list[ExampleRecord]:
    """The records of an event that upserts annotations, in its order; none for other events. Raises BadRequest."""
    if not isinstance(event, AnnotationsUpserted):
        return []
    return [to_record(spec, annotation, task, max_chars, asked) for annotation, task in event.items]


_PAYLOADS = ("annotation", "annotations", "task", "tasks")


def _project(body: Object) -> tuple[int, str | None]:
    """Project id and label config. The project is an object in webhooks; a bare id is taken as well, and the one
    that the annotation or task names when there is no project."""
    project = body.get("project")
    if isinstance(project, Mapping):
        config = project.get("label_config")
        if config is not None and not isinstance(config, str):
            raise bad_field("project.label_config", "a string is needed")
        return read_id(project.get("id"), "project.id"), config if config and config.strip() else None
    if "project" not in body:
        named = [item["project"] for key in _PAYLOADS for item in _objects(body, key) if "project" in item]
        project = named[0] if named else None
    return read_project_id(project), None


def _objects(body: Object, name: str) -> list[Object]:
    """The objects under `name`: one, or a list of them; none when it is missing. Raises BadRequest."""
    value = body.get(name, [])
    values = value if isinstance(value, list) else [value]
    objects = [item for item in values if isinstance(item, Mapping)]
    if len(objects) < len(values):
        raise bad_field(name, "an object or a list of objects is needed")
    return objects


def _upserted(action: str, project: int, config: str | None, body: Object) -> Event:
    if "annotation" not in body:
        return Ignored(action, project, config, incomplete=True)
    tasks = _objects(body, "task")
    by_id = {read_id(task["id"], "task.id"): task for task in tasks if task.get("id") is not None}
    items: list[tuple[Object, Object | None]] = []
    for annotation in _objects(body, "annotation"):
        number = annotation.get("task")
        task = by_id.get(read_id(number, "annotation.task")) if number is not None else None
        if number is None and len(tasks) == 1:
            task = tasks[0]
        if task is None and annotation.get("result") and not annotation.get("was_cancelled"):
            if tasks:
                raise bad_field("task", "the annotation's task is not in the body")
            return Ignored(action, project, config, incomplete=True)
        items.append((annotation, task))
    return AnnotationsUpserted(action, project, config, tuple(items))


def _ids(body: Object, plural: str, singular: str) -> tuple[int, ...] | None:
    """Ids of the objects (or bare ids) under `plural`, or `singular`; None when both are missing. Raises BadRequest."""
    name = plural if plural in body else singular
    if name not in body:
        return None
    value = body[name]
    items = value if isinstance(value, list) else [value]
    return tuple(read_id(item.get("id") if isinstance(item, Mapping) else item, f"{name}.id") for item in items)


def _annotations_deleted(action: str, project: int, config: str | None, body: Object) -> Event:
    ids = _ids(body, "annotations", "annotation")
    if ids is None:
        return Ignored(action, project, config, incomplete=True)
    return AnnotationsDeleted(action, project, config, ids)


def _tasks_deleted(action: str, project: int, config: str | None, body: Object) -> Event:
    ids = _ids(body, "tasks", "task")
    return Ignored(action, project, config, True) if ids is None else TasksDeleted(action, project, config, ids)


def _tasks_created(action: str, project: int, config: str | None, body: Object) -> Event:
    return TasksCreated(action, project, config, tuple(_objects(body, "tasks")))


def _project_updated(action: str, project: int, config: str | None, body: Object) -> Event:
    described = body.get("project")
    fields = described if isinstance(described, Mapping) else {}
    sampling, title = (value if isinstance(value := fields.get(name), str) else None for name in ("sampling", "title"))
    return ProjectUpdated(action, project, config, sampling, title)


def _start_training(action: str, project: int, config: str | None, body: Object) -> Event:
    return StartTraining(action, project, config)


_ACTIONS: dict[str, Callable[[str, int, str | None, Object], Event]] = {
    "ANNOTATION_CREATED": _upserted,
    "ANNOTATIONS_CREATED": _upserted,
    "ANNOTATION_UPDATED": _upserted,
    "ANNOTATIONS_DELETED": _annotations_deleted,
    "ANNOTATION_DELETED": _annotations_deleted,  # in the list of older backends; 1.23 sends the plural
    "TASKS_CREATED": _tasks_created,
    "TASKS_DELETED": _tasks_deleted,
    "PROJECT_UPDATED": _project_updated,
    "START_TRAINING": _start_training,
}

KNOWN_ACTIONS = frozenset(_ACTIONS)
"""Actions that mean something here."""
