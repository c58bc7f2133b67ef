"""The unlabelled tasks that are known of a project: all, or a sample of it. Runs in the sync worker.

What Label Studio's events and requests bring fills the pool with whatever comes first; an import is often sorted by
class or day, and a queue, a blind share or a cold start on its first tasks would be of these alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from backend.errors import Undecidable
from backend.labelstudio.documents import read_document
from backend.labelstudio.rest.client import LabelStudioClient
from backend.settings.settings import Settings
from backend.store.stores import Stores
from model.spec import Document, TaskSpec

FULL_SHARE = 0.25
"""Share of the pool's room below which labelled tasks leave it."""

PROJECT_GROWTH = 1.5
"""Growth of a project after which its sample is drawn anew."""


def fill_pool(settings: Settings, stores: Stores, client: LabelStudioClient, project: int, spec: TaskSpec) -> int:
    """Unlabelled tasks as far as there is room; how many are new. Raises LabelStudioError, StoreUnavailable."""
    projects, limit = stores.projects, settings.pool_size
    room = limit - projects.pool_size(project)
    if room < FULL_SHARE * limit:  # else labelled tasks would fill it, and nothing would be left to choose from
        projects.remove_from_pool(project, stores.examples.touched(project))
        room = limit - projects.pool_size(project)
    total, known = client.tasks.count_unanswered(project), projects.pool_tasks(project)
    is_whole, anew = total <= limit, total > max(limit, PROJECT_GROWTH * projects.pool_of(project))
    if room <= 0 and not anew:
        return 0
    if is_whole:
        tasks = client.tasks.unanswered(project)
    else:
        tasks = client.tasks.sample_unanswered(project, limit if anew else room)
    documents = _read(spec, tasks, settings.max_text_chars)
    if anew:
        projects.remove_from_pool(project, known - documents.keys())
    if anew or is_whole:
        projects.note_pool_of(project, total)
    return projects.add_pool(project, {task: documents[task] for task in documents.keys() - known}, limit)


def _read(spec: TaskSpec, tasks: Iterable[Mapping[str, Any]], most_chars: int) -> dict[int, Document]:
    """Task id -> document, of those that can be read."""
    documents: dict[int, Document] = {}
    for task in tasks:
        try:
            documents[int(task["id"])] = read_document(spec, task.get("data"), most_chars)[0]
        except Undecidable:
            continue
    return documents
