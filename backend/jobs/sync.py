"""Reconciles a project's examples with Label Studio, the source of truth. Runs in the sync worker.

Label Studio delivers each webhook at most once: what was lost on the way is found here. Nothing is ever deleted on a
listing that is not whole.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from backend.errors import BackendError, BadRequest, LabelStudioError
from backend.jobs.context import Context, context
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.config import parse_label_config
from backend.labelstudio.documents import Undecidable, read_document
from backend.labelstudio.events import to_record
from backend.labelstudio.records import ExampleRecord
from backend.store.examples import CHANGED
from model.failpoints import failpoint
from model.spec import TaskSpec

log = logging.getLogger(__name__)


def resync(project: int) -> str:
    """One reconciliation; what came of it. (RQ calls this.)"""
    work = context()
    work.stores.jobs.begin_sync(int(project))
    failpoint("sync.begin", project)
    began = time.monotonic()
    try:
        outcome: dict[str, Any] = _resync(work, int(project))
    except BackendError as error:
        status = error.evidence.get("status")
        outcome = {"error": error.message[:300], "status": status, "hint": error.evidence.get("hint", "")}
        log.warning("resync failed project=%s: %s", project, error.message)
    outcome["seconds"] = round(time.monotonic() - began, 2)
    work.stores.projects.note_sync(int(project), outcome)
    log.info("resync project=%s %s", project, outcome)
    return str(outcome.get("error", "done"))


def _resync(work: Context, project: int) -> dict[str, Any]:
    settings, stores = work.settings, work.stores
    key = settings.label_studio_api_key.get_secret_value()
    if not (settings.label_studio_url and key):
        raise LabelStudioError("LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are not set")
    with LabelStudioClient(settings.label_studio_url, key) as client:
        since, clock = stores.examples.seq(project), stores.examples.clock()
        config = str(client.project(project).get("label_config") or "")
        spec = parse_label_config(config)
        changed_config = stores.projects.save_config(project, config)
        records, unread = _read(client, project, spec, settings.max_text_chars)
        outcomes = stores.examples.reconcile(project, records, since, clock, unread)
        added = _fill_pool(work, client, project, spec)
    changed = sum(count for name, count in outcomes.items() if name in CHANGED or name == "removed")
    if changed or changed_config or added:
        stores.jobs.enqueue_refit(project)
    return {"listed": len(records), "changed": changed, "unread": len(unread), "pool_added": added, **outcomes}


def _read(
    client: LabelStudioClient, project: int, spec: TaskSpec, max_chars: int
) -> tuple[list[ExampleRecord], list[int]]:
    """All annotations as records; ids of those that cannot be read."""
    records: list[ExampleRecord] = []
    unread: list[int] = []
    for task, listed in client.iter_annotations(project):
        for annotation in listed:
            try:
                records.append(to_record(spec, annotation, task, max_chars))
            except BadRequest as error:
                log.warning("annotation unreadable project=%s: %s", project, error.message)
                if isinstance(annotation.get("id"), int):
                    unread.append(annotation["id"])
    return records, unread


def _fill_pool(work: Context, client: LabelStudioClient, project: int, spec: TaskSpec) -> int:
    """Unlabelled tasks as far as there is room; how many are new."""
    limit = work.settings.pool_size
    room = limit - work.stores.projects.pool_size(project)
    if room <= 0:
        return 0
    documents = {}
    for task in client.tasks_without_annotation(project, limit):
        try:
            documents[int(task["id"])] = read_document(spec, task.get("data"), work.settings.max_text_chars)[0]
        except Undecidable:
            continue
    return work.stores.projects.add_pool(project, documents, limit)
