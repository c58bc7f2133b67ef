"""Webhook bodies to events. Tolerant of what Label Studio really sends, strict about what cannot be used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.errors import BadRequest
from backend.labelstudio.documents import Undecidable, clean, read_document
from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.results import read_targets
from model.spec import TaskSpec

_PROJECT = re.compile(r"(\d{1,18})(\.\d+)?", re.ASCII)
UPSERTS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED")


@dataclass(frozen=True)
class Event:
    """A webhook's action and project. `label_config` is None when the body does not carry it."""

    action: str
    project: int
    label_config: str | None = None


@dataclass(frozen=True)
class AnnotationsUpserted(Event):
    """Annotations with their tasks; `refused` counts the items that could not be read."""

    items: tuple[tuple[Mapping[str, Any], Mapping[str, Any]], ...] = ()


@dataclass(frozen=True)
class AnnotationsDeleted(Event):
    """Annotation ids."""

    ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class TasksDeleted(Event):
    """Task ids."""

    ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class TasksCreated(Event):
    """New tasks, perhaps with annotations that no event reports: the store asks Label Studio."""


@dataclass(frozen=True)
class ProjectUpdated(Event):
    """Any change of the project; the label config is the new one."""


@dataclass(frozen=True)
class StartTraining(Event):
    """The admin pressed Start Training."""


@dataclass(frozen=True)
class Ignored(Event):
    """An action that means nothing here, or one sent without its payload (`incomplete`)."""

    incomplete: bool = field(default=False)


def read_project_id(value: Any) -> int:
    """7 from `7`, `"7"`, `"7.1795455205"`. Raises BadRequest for anything else (it becomes a key and a path)."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**18:
        return value
    match = _PROJECT.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match.group(1)) == 0:
        raise BadRequest("project must be an id like 7 or '7.1795455205'", field="project")
    return int(match.group(1))


def parse_webhook(body: Any) -> Event:
    """The event of a webhook body. Raises BadRequest naming the field."""
    if not isinstance(body, Mapping):
        raise BadRequest("the body must be a JSON object", field="body")
    action = body.get("action")
    if not isinstance(action, str):
        raise BadRequest("action must be a string", field="action")
    project, config = _project(body)
    if action in UPSERTS:
        return _upserted(action, project, config, body)
    if action == "ANNOTATIONS_DELETED":
        ids = _ids(body, "annotations")
        return (
            Ignored(action, project, config, True) if ids is None else AnnotationsDeleted(action, project, config, ids)
        )
    if action == "TASKS_DELETED":
        ids = _ids(body, "tasks")
        return Ignored(action, project, config, True) if ids is None else TasksDeleted(action, project, config, ids)
    simple = {"TASKS_CREATED": TasksCreated, "PROJECT_UPDATED": ProjectUpdated, "START_TRAINING": StartTraining}
    return simple.get(action, Ignored)(action, project, config)


def _project(body: Mapping[str, Any]) -> tuple[int, str | None]:
    project = body.get("project")
    if project is None:
        project = _project_of_annotation(body)
    if not isinstance(project, Mapping):
        return read_project_id(project), None
    config = project.get("label_config")
    return read_project_id(project.get("id")), config if isinstance(config, str) and config.strip() else None


def _project_of_annotation(body: Mapping[str, Any]) -> Any:
    annotation = body.get("annotation")
    return annotation.get("project") if isinstance(annotation, Mapping) else None


def _upserted(action: str, project: int, config: str | None, body: Mapping[str, Any]) -> Event:
    annotations, tasks = _listed(body.get("annotation")), _listed(body.get("task"))
    if not annotations or not tasks:
        return Ignored(action, project, config, incomplete=True)  # a webhook with send_payload=false
    by_id = {task.get("id"): task for task in tasks}
    items = []
    for annotation in annotations:
        task = by_id.get(annotation.get("task")) or (tasks[0] if len(annotations) == len(tasks) == 1 else None)
        if task is None:
            raise BadRequest("an annotation's task is not in the body", field="task")
        items.append((annotation, task))
    return AnnotationsUpserted(action, project, config, tuple(items))


def _listed(value: Any) -> list[Mapping[str, Any]]:
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, Mapping)]


def _ids(body: Mapping[str, Any], name: str) -> tuple[int, ...] | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, list):
        raise BadRequest(f"{name} must be a list", field=name)
    return tuple(_whole(item.get("id") if isinstance(item, Mapping) else item, name) for item in value)


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**63:
        raise BadRequest(f"{name} must hold whole numbers", field=name)
    return value


def to_record(
    spec: TaskSpec, annotation: Mapping[str, Any], task: Mapping[str, Any], max_chars: int = 100_000
) -> ExampleRecord:
    """What to store of an annotation. Raises BadRequest when it has no usable id; a task without the text becomes a
    record without targets, so that nothing is learned from it."""
    number = _whole(annotation.get("id"), "annotation.id")
    task_id = _whole(task.get("id", annotation.get("task")), "task.id")
    skipped = bool(annotation.get("was_cancelled"))
    targets = {} if skipped else read_targets(spec, annotation.get("result"))
    try:
        texts, _ = read_document(spec, task.get("data") or {}, max_chars)
    except Undecidable:
        texts, targets = {}, {}
    annotator = annotation.get("completed_by")
    if isinstance(annotator, Mapping):
        annotator = annotator.get("id")
    return ExampleRecord(
        annotation=number,
        task=task_id,
        texts=texts,
        targets=_clean_targets(targets),
        updated_at=str(annotation.get("updated_at") or annotation.get("created_at") or ""),
        annotator=annotator if isinstance(annotator, int) else None,
        ground_truth=bool(annotation.get("ground_truth")),
    )


def _clean_targets(targets: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, int) else [[clean(part) for part in path] for path in value]
        for name, value in targets.items()
    }
