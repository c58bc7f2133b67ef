"""Reconciles a project's examples with Label Studio, the source of truth. Runs in the sync worker.

Label Studio delivers each webhook at most once: what was lost on the way is found here. Nothing is ever deleted on a
listing that is not whole.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from backend.errors import BackendError, BadRequest, LabelStudioError, StoreUnavailable
from backend.jobs.attempt import describe
from backend.jobs.context import context
from backend.jobs.language import notice_language
from backend.jobs.sync.people import fetch_people
from backend.jobs.sync.pool import fill_pool
from backend.jobs.sync.relabel_tab import push_if_wanted
from backend.labelstudio.asked_since import Asked
from backend.labelstudio.events import to_record
from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.rejects import Reject, rejects_of_annotation
from backend.labelstudio.rest.client import LabelStudioClient
from backend.labelstudio.task_spec import parse_label_config
from backend.outcomes import JobOutcome, waits_after_failure
from backend.rejects.pending import RejectNotes
from backend.settings.settings import Settings
from backend.store.examples import CHANGING_OUTCOMES
from backend.store.projects import note_questions
from backend.store.stores import Stores
from model.failpoints import failpoint
from model.spec import TaskSpec

log = logging.getLogger(__name__)

MOST_DOUBTED = 100
"""Annotations that a listing lacks, and Label Studio is asked for one by one; more of them are taken for deleted."""


def resync(project: int) -> str:
    """One reconciliation; its outcome, or that it backs off after a failure. (RQ calls this.)"""
    work, project = context(), int(project)
    stores = work.stores
    stores.jobs.begin_sync(project)
    if (wait := stores.failures.begin(project, "sync")) > 0:
        return waits_after_failure(wait)  # the scheduler asks again
    began, marks = time.monotonic(), stores.projects.dirty_marks(project)
    try:
        failpoint("sync.begin", project)
        outcome: dict[str, Any] = _resync(work.settings, stores, project)
    except StoreUnavailable:
        raise
    except Exception as error:  # whatever one project's Label Studio sends, the others are reconciled
        outcome = _describe_failure(error)
        wait = stores.failures.fail(project, "sync", outcome["error"])
        log.warning("resync failed project=%s, again in %.0f s: %s", project, wait, outcome["error"])
    else:
        stores.failures.clear(project, "sync")
    outcome["seconds"] = round(time.monotonic() - began, 2)
    stores.projects.note_sync(project, {**outcome, "next": _next_time(work.settings.resync_minutes)}, marks)
    stores.counters.count_resynced({name: int(outcome.get(name, 0)) for name in (*CHANGING_OUTCOMES, "removed")})
    log.info("resync project=%s %s", project, outcome)
    return str(outcome.get("error", JobOutcome.DONE))


def _describe_failure(error: Exception) -> dict[str, Any]:
    if isinstance(error, BackendError):
        return {
            "error": describe(error),
            "status": error.evidence.get("status"),
            "hint": error.evidence.get("hint", ""),
        }
    log.error("resync", exc_info=error)
    return {"error": describe(error)}


def _next_time(minutes: float) -> float:
    """When the next one is due, apart from errors and the dirty flag: a fifth sooner or later than RESYNC_MINUTES, so
    that many projects, or many installations, do not all ask at once."""
    return time.time() + 60 * minutes * random.uniform(0.8, 1.2)


def _resync(settings: Settings, stores: Stores, project: int) -> dict[str, Any]:
    if not settings.has_label_studio:
        raise LabelStudioError("LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are not set")
    with LabelStudioClient.of(settings) as client:
        since, clock = stores.examples.seq(project), stores.examples.clock(project)
        fields = client.project(project)
        config = str(fields.get("label_config") or "")
        stores.projects.note_title(project, str(fields.get("title") or ""))
        stores.task_queue.compare(project, str(fields.get("model_version") or ""))
        spec = parse_label_config(config)
        note_questions(stores.projects, project, stores.projects.config(project), config)
        changed_config = stores.projects.save_config(project, config)
        asked, notes, began = stores.projects.asked(project), RejectNotes(), time.time()
        records, unread = _read(client, stores, project, spec, settings.max_text_chars, asked, notes)
        if spec.spans:
            records = _with_removals(records, stores.examples.snapshot(project).records)
        unlisted = _find_unlisted(client, stores, project, {*unread, *(record.annotation for record in records)})
        outcomes = stores.examples.reconcile(project, records, since, clock, [*unread, *unlisted])
        stores.rejects.forget_labels(project, began)
        notes.store(stores)
        added = fill_pool(settings, stores, client, project, spec)
        notice_language(settings, stores, project)
        fetch_people(settings, stores, client)
    changed = sum(count for name, count in outcomes.items() if name in CHANGING_OUTCOMES or name == "removed")
    if changed or changed_config or added:
        stores.jobs.enqueue_refit(project)
    return {
        "listed": len(records),
        "changed": changed,
        "drift": changed,
        "unread": len(unread),
        "pool_added": added,
        **({"unlisted": len(unlisted)} if unlisted else {}),
        **outcomes,
        **push_if_wanted(settings, stores, project),
    }


def _read(
    client: LabelStudioClient,
    stores: Stores,
    project: int,
    spec: TaskSpec,
    max_chars: int,
    asked: Asked,
    notes: RejectNotes,
) -> tuple[list[ExampleRecord], list[int]]:
    """All annotations as records; ids of those that cannot be read. Why labels come to nothing goes to `notes`."""
    records: list[ExampleRecord] = []
    unread: list[int] = []
    for task, listed in client.tasks.with_annotations(project):
        number = int(task["id"])  # of a listing, which says so of every task
        begun = spec.spans and any(annotation.get("parent_prediction") is not None for annotation in listed)
        suggested = stores.suggestions.of_tasks(project, [number]).get(number, {}) if begun else {}
        for annotation in listed:
            try:
                record = to_record(spec, annotation, task, max_chars, asked, suggested)
            except BadRequest as error:
                why = Reject("malformed", f"have an annotation that cannot be read: {error.message[:200]}")
                notes.note(project, "labels", [(task.get("id"), why)])
                if isinstance(annotation.get("id"), int):
                    unread.append(annotation["id"])
                continue
            records.append(record)
            rejects = rejects_of_annotation(spec, annotation, task, record, max_chars)
            notes.note(project, "labels", ((record.task, reject) for reject in rejects))
    return records, unread


def _find_unlisted(client: LabelStudioClient, stores: Stores, project: int, listed: set[int]) -> list[int]:
    """Annotations that are in Label Studio and not in its listing, which goes by counters of the tasks: while its
    database is busy they are behind, or stay wrong. Such a one must not be taken for deleted."""
    missing = sorted(stores.examples.ids(project) - listed)
    if len(missing) > MOST_DOUBTED:
        return []
    unlisted = [annotation for annotation in missing if client.tasks.has_annotation(annotation)]
    if unlisted:
        log.warning("Label Studio has annotations that it does not list project=%s: %s", project, unlisted[:20])
    return unlisted


def _with_removals(records: list[ExampleRecord], stored: Sequence[ExampleRecord]) -> list[ExampleRecord]:
    """The records with the removed suggestions that are known of just the same annotations: what was suggested for them
    may be forgotten or another by now, and Label Studio does not say it."""
    known = {record.annotation: record for record in stored if record.spans}
    return [
        replace(record, removed=before.removed)
        if (before := known.get(record.annotation)) is not None
        and (before.version, before.spans) == (record.version, record.spans)
        else record
        for record in records
    ]
