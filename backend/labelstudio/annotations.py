"""Turns annotations, from a webhook or from Label Studio's API, into the records that are stored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from backend.errors import BadRequest
from backend.labelstudio.documents import Undecidable, read_text
from backend.labelstudio.events import AnnotationsUpserted, Event, read_id
from backend.labelstudio.records import ExampleRecord, Target, microseconds
from backend.labelstudio.results import read_targets
from model.spec import TaskSpec


def to_records(event: Event, spec: TaskSpec, max_chars: int = 100_000) -> list[ExampleRecord]:
    """The records of an event that upserts annotations, in its order; none for other events. Raises BadRequest."""
    if not isinstance(event, AnnotationsUpserted):
        return []
    return [to_record(annotation, task, spec, max_chars) for annotation, task in event.items]


def to_record(
    annotation: Mapping[str, Any], task: Mapping[str, Any] | None, spec: TaskSpec, max_chars: int = 100_000
) -> ExampleRecord:
    """The record of one annotation. Its targets are empty when it was skipped, answers nothing, or its text cannot be
    read. Raises BadRequest naming an unusable id or time stamp."""
    number = annotation.get("task")
    if number is None and task is not None:
        number = task.get("id")
    if annotation.get("was_cancelled"):
        answers: dict[str, Target] = {}
    else:
        answers = read_targets(spec, annotation.get("result"))
    texts, targets = _readable(spec, answers, (task or {}).get("data"), max_chars)
    return ExampleRecord(
        annotation=read_id(annotation.get("id"), "annotation.id"),
        task=read_id(number, "annotation.task"),
        texts=texts,
        targets=targets,
        updated_at=_stamp(annotation),
        annotator=_annotator(annotation.get("completed_by")),
        ground_truth=bool(annotation.get("ground_truth")),
    )


def _readable(
    spec: TaskSpec, answers: Mapping[str, Target], data: Any, max_chars: int
) -> tuple[dict[str, str], dict[str, Target]]:
    """The answers whose inputs can be read, and the texts of these inputs."""
    texts: dict[str, str] = {}
    for item in spec.inputs if answers else ():
        try:
            texts[item.name] = read_text(item, data, max_chars)
        except Undecidable:
            continue
    targets = {
        name: target for name, target in answers.items() if all(item in texts for item in spec.control(name).inputs)
    }
    needed = {item for name in targets for item in spec.control(name).inputs}
    return {name: text for name, text in texts.items() if name in needed}, targets


def _stamp(annotation: Mapping[str, Any]) -> str:
    """`updated_at` as sent. Without one (never seen from Label Studio) the order of arrival has to do."""
    stamp = annotation.get("updated_at") or annotation.get("created_at")
    if stamp is None:
        return datetime.now(timezone.utc).isoformat()
    try:
        microseconds(stamp)
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise BadRequest("annotation.updated_at: an ISO 8601 time is needed", field="annotation.updated_at") from error
    return str(stamp)


def _annotator(completed_by: Any) -> int | None:
    """The user's id: a number in webhooks, an object with `id` in some API replies."""
    if isinstance(completed_by, Mapping):
        completed_by = completed_by.get("id")
    return completed_by if isinstance(completed_by, int) and not isinstance(completed_by, bool) else None
