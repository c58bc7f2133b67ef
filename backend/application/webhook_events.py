"""What a webhook event does to the store. Everything is durable before this returns; knows no HTTP."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TypedDict

from backend.application.services import Services
from backend.errors import BadRequest, StoreUnavailable, Undecidable
from backend.labelstudio import events
from backend.labelstudio.documents import read_document
from backend.labelstudio.records import ExampleRecord, microseconds
from backend.labelstudio.rejects import Reject, rejects_of_annotation, rejects_of_task
from backend.labelstudio.rest.project_connection import SAMPLING
from backend.labelstudio.span_answers import Suggested
from backend.store.examples import CHANGING_OUTCOMES
from model.failpoints import failpoint
from model.spec import Json, JsonObject, TaskSpec

log = logging.getLogger(__name__)


class Reply(TypedDict, total=False):
    """The body of a webhook's answer: `status` and what was done."""

    status: str
    reason: str
    outcomes: dict[str, int]
    tasks: int
    refused: list[str]
    job: str
    new: bool
    message: str


def take_event(services: Services, event: events.Event) -> Reply:
    """Carry out one event; the reply's body. Raises BadRequest and StoreUnavailable."""
    if event.project:
        services.configs.remember(event.project, event.label_config, _moment_of(event))
    if isinstance(event, events.AnnotationsUpserted):
        return _upsert(services, event)
    if isinstance(event, events.AnnotationsDeleted):
        return _changed(services, event.project, services.stores.examples.remove(event.project, event.ids))
    if isinstance(event, events.TasksDeleted):
        services.stores.projects.remove_from_pool(event.project, event.ids)
        return _changed(services, event.project, services.stores.examples.remove_tasks(event.project, event.ids))
    if isinstance(event, events.TasksCreated):
        return _add_tasks(services, event)
    if isinstance(event, events.StartTraining):
        return start_training(services, event.project, "Label Studio")
    if isinstance(event, events.Ignored) and event.incomplete:
        services.background.note_missed(event.project or None, f"{event.action} came without its payload")
        why = Reject("no_payload", "came in a webhook without payload: run `understudy connect`")
        services.background.rejects.note(event.project or None, "labels", [(None, why)])
        return {"status": "ignored", "reason": "the payload is missing; a reconciliation was asked for"}
    if isinstance(event, events.ProjectUpdated):
        _note_sampling(services, event)
        if event.title:
            services.stores.projects.note_title(event.project, event.title)
        return {"status": "ok"}
    return {"status": "ignored"}


def _note_sampling(services: Services, event: events.ProjectUpdated) -> None:
    """Whoever chooses another task sampling switches the steering off at once, blind tasks included."""
    steering = services.stores.task_queue
    if event.sampling not in (None, SAMPLING) and event.project in steering.steered():
        steering.switch(event.project, f"the project's task sampling is not {SAMPLING}")
    elif event.sampling in (None, SAMPLING):
        steering.recheck(event.project)


def _moment_of(event: events.Event) -> int | None:
    """When what the event tells happened, by Label Studio's clock: the config that it brings was there by then."""
    items = event.items if isinstance(event, events.AnnotationsUpserted) else ()
    stamps = [microseconds(annotation.get("updated_at")) for annotation, _ in items]
    return min(filter(None, stamps), default=None)


def start_training(services: Services, project: int, by: str) -> Reply:
    """Ask for a fine-tune: its job, or the one that is there already."""
    services.stores.failures.release(project, "train")
    record, created = services.stores.jobs.request_training(project, by=by, force=True)
    message = "training was asked for" if created else f"already {record['status']}: nothing is trained twice"
    return {"job": record["id"], "status": record["status"], "new": created, "message": message}


def _upsert(services: Services, event: events.AnnotationsUpserted) -> Reply:
    spec = services.configs.spec_of(event.project, event.label_config)
    if spec is None:
        services.stores.projects.mark_dirty(event.project, "annotations came before a usable label config")
        why = Reject("no_config", "came before any label config that can be learned")
        services.background.rejects.note(event.project, "labels", ((_task_of(*item), why) for item in event.items))
        return {"status": "ignored", "reason": "no usable label config is known; a reconciliation was asked for"}
    records: list[ExampleRecord] = []
    asked = services.stores.projects.asked(event.project)
    refused: list[str] = []
    suggested = _suggested(services, spec, event)
    for annotation, task in event.items:
        try:
            known = suggested.get(_task_of(annotation, task) or 0, {})
            records.append(events.to_record(spec, annotation, task, services.settings.max_text_chars, asked, known))
        except BadRequest as error:
            if len(event.items) == 1:
                raise
            refused.append(error.message)
    failpoint("webhook.before", event.project)
    outcomes = services.stores.examples.upsert_many(event.project, records)
    failpoint("webhook.after", event.project)
    _note_rejects(services, spec, event, {record.annotation: record for record in records})
    if event.action == "ANNOTATION_CREATED":
        new = {r.annotation: r.task for r, outcome in zip(records, outcomes, strict=True) if outcome == "stored"}
        services.background.note_labels(event.project, new)
    reply = _changed(services, event.project, outcomes)
    if refused:
        services.stores.projects.mark_dirty(event.project, "some annotations of a batch could not be read")
        reply["refused"] = refused[:20]
    return reply


def _suggested(services: Services, spec: TaskSpec, event: events.AnnotationsUpserted) -> Mapping[int, Suggested]:
    """Task -> the spans that its page may have begun with."""
    if not spec.spans:
        return {}
    begun = [item for item in event.items if item[0].get("parent_prediction") is not None]
    tasks = {number for item in begun if (number := _task_of(*item)) is not None}
    return services.stores.suggestions.of_tasks(event.project, sorted(tasks))


def _note_rejects(
    services: Services, spec: TaskSpec, event: events.AnnotationsUpserted, records: Mapping[int, ExampleRecord]
) -> None:
    """Why labels come to nothing, or not whole."""
    found: list[tuple[int | None, Reject]] = []
    for annotation, task in event.items:
        number = annotation.get("id")
        record = records.get(number) if isinstance(number, int) else None
        if record is not None:
            longest = services.settings.max_text_chars
            rejects = rejects_of_annotation(spec, annotation, task, record, longest)
            found += ((record.task, reject) for reject in rejects)
    services.background.rejects.note(event.project, "labels", found)


def _task_of(annotation: JsonObject, task: JsonObject | None) -> int | None:
    number = annotation.get("task") or (task or {}).get("id")
    return number if isinstance(number, int) else None


def store_task_annotations(services: Services, project: int, tasks: Sequence[Json]) -> Reply:
    """The annotations inside tasks, as /train sends them."""
    items = tuple(
        (annotation, task)
        for task in tasks
        if isinstance(task, Mapping)
        for annotation in _as_list(task.get("annotations"))
        if isinstance(annotation, Mapping)
    )
    return _upsert(services, events.AnnotationsUpserted("TRAIN", project, None, items)) if items else {"status": "ok"}


def _as_list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _changed(services: Services, project: int, outcomes: list[str]) -> Reply:
    counted = Counter(outcomes)
    for outcome, count in counted.items():
        services.metrics.examples.labels(outcome).inc(count)
    if CHANGING_OUTCOMES & set(outcomes):
        # The label is safe by now: the scheduler asks again for a refit that is lost here.
        with suppress(StoreUnavailable):
            services.stores.jobs.enqueue_refit(project)
    return {"status": "ok", "outcomes": dict(counted)}


def _add_tasks(services: Services, event: events.TasksCreated) -> Reply:
    spec, longest = services.configs.spec_of(event.project, event.label_config), services.settings.max_text_chars
    documents = {}
    found: list[tuple[int | None, Reject]] = []
    for task in event.tasks if spec else ():
        number = task.get("id")
        if not isinstance(number, int) or spec is None:
            continue
        try:
            documents[number] = read_document(spec, task.get("data"), longest)[0]
        except Undecidable:
            found += ((number, reject) for reject in rejects_of_task(spec, task.get("data"), longest))
    services.background.rejects.note(event.project, "tasks", found)
    services.background.add_pool(event.project, documents)
    if any(task.get("is_labeled") or task.get("total_annotations") for task in event.tasks):
        services.stores.projects.mark_dirty(event.project, "tasks were imported with annotations")
    return {"status": "ok", "tasks": len(event.tasks)}
