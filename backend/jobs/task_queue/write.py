"""Writes a planned batch into Label Studio's queue. Runs in the sync worker.

Blue/green: the predictions of the new queue version first, then the name that Label Studio's queue goes by
(`project.model_version`) in one step, so that the queue is never empty, random or mixed; old versions go, and at last
the backend gets that name, too, since Label Studio asks only a backend of that name for live predictions. A run that
dies in between leaves a version that nothing names, or a backend with the name before: the next run mends both.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from backend.errors import LabelStudioError
from backend.jobs.attempt import attempt
from backend.jobs.context import Context, context
from backend.jobs.task_queue.stream_order import keep_following
from backend.labelstudio.label_display import spec_of
from backend.labelstudio.rest.client import LabelStudioClient
from backend.labelstudio.rest.project_connection import SAMPLING, own_backend
from backend.labelstudio.span_answers import with_spans
from backend.labelstudio.spans.regions import SentSpan
from backend.outcomes import JobOutcome
from backend.record_json import QueueState
from backend.rules.queue_due import queue_number, queue_version, stale_versions
from backend.settings.settings import Settings
from backend.store.stores import Stores
from backend.store.task_queue import PlannedRegion, PlannedRelation, PlannedTask, QueuePlan
from model.failpoints import failpoint
from model.region import Region, RegionAnswer, Relation, ScoredRelation
from model.span import ScoredSpan
from model.spec import JsonObject, Prediction

IMPORT_PREDICTIONS = 500
"""Predictions that Label Studio stores in one step."""

LARGE_PROJECT_TASKS = 1500
"""Tasks of a project for each prediction of a batch from which the bulk import, which counts the whole project anew (60
us a task), takes longer than one request a prediction (90 ms): bench/large_project.py."""


def steer(project: int) -> str:
    """Write the last plan; its outcome: steered, off, nothing planned, failed or waits. (RQ calls this.)"""
    work, project = context(), int(project)
    try:
        return attempt(work.stores.failures, project, "steer", lambda: _steer(work, project))
    finally:
        work.stores.task_queue.end(project, "steer")


def _steer(work: Context, project: int) -> str:
    settings, stores = work.settings, work.stores
    plan = stores.task_queue.plan(project)
    if not plan:
        return JobOutcome.NOTHING_PLANNED
    if not settings.has_label_studio:
        raise LabelStudioError("LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are not set")
    with LabelStudioClient.of(settings) as client:
        fields = client.project(project)
        backend, off = find_steered(client, fields, settings.url)
        stores.task_queue.switch(project, off)
        keep_following(client, stores, project, steered=not off)
        if off or backend is None:
            return f"{JobOutcome.OFF}: {off}"
        task_count = int(fields.get("task_number") or 0)
        return _hand_over(settings, stores, client, project, task_count, plan, backend)


def find_steered(client: LabelStudioClient, fields: Mapping[str, Any], url: str) -> tuple[dict[str, Any] | None, str]:
    """(the connection of the project to this backend, why its queue is not steered or ""). `fields`: the project's."""
    if fields.get("sampling") != SAMPLING:
        return None, f"the project's task sampling is not {SAMPLING}"
    backend = own_backend(client.backends(int(fields["id"])), url, None)
    if backend is None or str(backend.get("url", "")).rstrip("/") != url:
        return None, f"the project is not connected to {url}"
    return backend, ""


def _hand_over(
    settings: Settings,
    stores: Stores,
    client: LabelStudioClient,
    project: int,
    task_count: int,
    plan: QueuePlan,
    backend: Mapping[str, Any],
) -> str:
    steering, entries = stores.task_queue, list(plan["entries"])
    free = client.tasks.free_tasks(project, [entry["task"] for entry in entries])
    steering.skip(project, [entry["task"] for entry in entries if entry["task"] not in free])
    entries = _with_spans(stores, project, plan, [entry for entry in entries if entry["task"] in free], free)
    title, done = str(backend.get("title") or ""), _state_after(plan)
    if not entries:  # all is labelled, or on somebody's screen: what is in the queue stays
        steering.update(project, {**done, "tasks": 0})
        return JobOutcome.NOTHING_LEFT
    number = steering.number(project, queue_number(title))
    version = queue_version(title, number)
    is_large = task_count > LARGE_PROJECT_TASKS * len(entries)
    _write(client, project, entries, version, number, is_large)
    failpoint("queue.before_switch", project)
    if off := _why_given_up(client, stores, project, version, settings.url):
        return f"{JobOutcome.OFF}: {off}"
    client.set_project(project, model_version=version)
    failpoint("queue.after_switch", project)
    steering.update(project, {**done, "version": version, "tasks": len(entries), "switched_at": time.time()})
    stores.label_stream.hand_out(project, [entry["task"] for entry in entries])
    # Now, while no backend bears the name that the queue goes by: else Label Studio would forget that name whatever
    # version is deleted (Project.should_none_model_version). Until the backend has the name, people see the answers
    # that were just written instead of live ones.
    removed = _clean(client, project, version, title)
    # Label Studio tries the connection, three times, and with the credentials of this request alone.
    auth = settings.basic_auth
    client.create_or_update_backend(
        project, url=str(backend["url"]), title=version, basic_auth=auth, backend=int(backend["id"])
    )
    return f"{JobOutcome.STEERED}: {version}, {len(entries)} tasks, {removed} old predictions deleted"


def _state_after(plan: QueuePlan) -> QueueState:
    """What is remembered of a plan that was written."""
    return {
        "at": plan["at"],
        "live": plan["live"],
        "answers": plan["answers"],
        "known": plan["rows"] + plan["unread"],
        "rows": plan["rows"],
        "open": plan["open"],
        "agreements": plan.get("agreements", []),
        "hunts": plan.get("hunts", []),
        "hunted_classes": plan.get("hunted_classes", 0),
        "unread": plan["unread"],
    }


def _why_given_up(client: LabelStudioClient, stores: Stores, project: int, version: str, url: str) -> str:
    """Why the project's queue is not steered any more, or "": writing a batch may take minutes, and a project that was
    disconnected meanwhile must not be named after a queue version, nor keep its predictions."""
    _, off = find_steered(client, client.project(project), url)
    if not off:
        return ""
    stores.task_queue.switch(project, off)
    keep_following(client, stores, project, steered=False)
    if own_backend(client.backends(project), url, None) is None:
        client.predictions.delete(project, version)
    # Else the connection may bear the name that the queue goes by, and Label Studio would forget that name with any
    # version that is deleted: the new version, which nothing names, goes with the next queue, or when one disconnects.
    return off


def _with_spans(
    stores: Stores,
    project: int,
    plan: QueuePlan,
    entries: list[PlannedTask],
    tasks: Mapping[int, JsonObject],
) -> list[PlannedTask]:
    """The entries with the regions of their spans, as the page of each task counts; what is suggested is remembered."""
    spec = spec_of(stores.projects.config(project))
    if spec is None or not spec.spans:
        return entries
    found: list[PlannedTask] = []
    suggested: dict[int, list[SentSpan]] = {}
    for entry in entries:
        marked = [
            Prediction(name, (), entry["score"], spans=tuple(_scored(span) for span in spans))
            for name, spans in entry.get("spans", {}).items()
        ]
        if marked:
            marked[0] = replace(marked[0], relations=tuple(map(_related, entry.get("relations", ()))))
        data = tasks[entry["task"]].get("data")
        result, sent, _ = with_spans(spec, data, marked, plan["live"], entry["result"])
        found.append({**entry, "result": result})
        suggested[entry["task"]] = sent
    stores.suggestions.keep(project, plan["live"], suggested)
    return found


def _scored(planned: PlannedRegion) -> ScoredSpan:
    """A span of a plan that went through JSON."""
    if len(planned) == 5:
        return ScoredSpan(*planned)
    start, end, label, score, reason, about = planned
    answers = tuple(RegionAnswer(name, tuple(chosen), sure) for name, chosen, sure in about)
    return ScoredSpan(start, end, label, score, reason, answers)


def _related(planned: PlannedRelation) -> ScoredRelation:
    """The same of a relation."""
    source, target, labels, both_ways, score = planned
    return ScoredRelation(Relation(Region(*source), Region(*target), tuple(labels), bool(both_ways)), score)


def _write(
    client: LabelStudioClient, project: int, entries: Sequence[PlannedTask], version: str, number: int, is_large: bool
) -> None:
    """All of it, or LabelStudioError."""
    in_bulk = [] if is_large else [entry for entry in entries if entry["cluster"] is None]
    for start in range(0, len(in_bulk), IMPORT_PREDICTIONS):
        rows = [
            {name: entry[name] for name in ("task", "result", "score")}
            for entry in in_bulk[start : start + IMPORT_PREDICTIONS]
        ]
        client.predictions.add_many(project, [{**row, "model_version": version} for row in rows])
        failpoint("queue.write", project)
    for entry in entries:
        cluster = entry["cluster"]
        if cluster is not None:
            cluster += number * IMPORT_PREDICTIONS  # nobody has solved a task of this one
        elif not is_large:
            continue
        client.predictions.add(int(entry["task"]), entry["result"], float(entry["score"]), version, cluster)
    stored = client.predictions.versions(project).get(version, 0)
    if stored != len(entries):
        raise LabelStudioError(f"Label Studio stored {stored} of {len(entries)} predictions", project=project)


def _clean(client: LabelStudioClient, project: int, version: str, before: str) -> int:
    """Deletes all queue versions but this one and the one before, whose tasks are still on a screen; how many
    predictions."""
    present = client.predictions.versions(project)
    kept = {version, before}
    return sum(client.predictions.delete(project, name) for name in stale_versions(present, version, kept))
