"""What the web process does after it has answered: pool texts, and the memory of what it had to refuse."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

from backend.errors import StoreUnavailable
from backend.labelstudio.spans.regions import SentSpan
from backend.rejects.pending import RejectNotes
from backend.store.duplicates.tables import TABLES_KEPT, LabelledTables
from backend.store.stores import Stores
from model.spec import Document

log = logging.getLogger(__name__)

WAITING_BATCHES = 100
"""Batches of pool texts that may wait; more are dropped, since the next /predict brings them again."""


GATHER_SECONDS = 0.1
"""Pool texts that come within this are stored together: one at a time they cost this process and Redis .6 ms of CPU a
request, where all of a request took 8 (Zen 5); together .05."""

TASKS_REMEMBERED = 20_000
"""Tasks of a project known to be in its pool, so that they are not stored again: 2 MB. Beyond that all are forgotten,
and the next /predict stores them once more: a million tasks would take 100 MB of each web process."""


class Background:
    """One thread. Losing it loses no label: labels are stored before the reply."""

    def __init__(self, stores: Stores, limit: int, rejects: RejectNotes | None = None) -> None:
        self._stores, self._limit = stores, limit
        self.rejects = rejects or RejectNotes()
        self.watch = stores.watch()
        self.labelled = LabelledTables(stores.labelled_texts)
        self._batches: queue.Queue[tuple[int, Mapping[int, Document]] | None] = queue.Queue(WAITING_BATCHES)
        self._stopping = threading.Event()
        self._missed: dict[int | None, str] = {}
        self._labels: dict[int, dict[int, int]] = {}
        self._suggested: dict[tuple[int, str], dict[int, Sequence[SentSpan]]] = {}
        self._guard = threading.Lock()
        self._known: dict[int, set[int]] = {}
        self.steered: frozenset[int] = frozenset()
        """Projects whose queue is steered, as of a second ago: their blind tasks get no pre-label."""
        self._thread = threading.Thread(target=self._run, name="background", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after what waits; returns when it has ended."""
        self._stopping.set()
        self._batches.put(None)
        self._thread.join(5)

    def add_pool(self, project: int, documents: Mapping[int, Document]) -> None:
        """Remember unlabelled tasks; never waits."""
        known = self._known.setdefault(project, set())
        fresh = {task: document for task, document in documents.items() if task not in known}
        if not fresh:
            return
        try:
            self._batches.put_nowait((project, fresh))
            if len(known) > TASKS_REMEMBERED:
                known.clear()
            known.update(fresh)
        except queue.Full:
            log.debug("pool texts dropped project=%s", project)

    def note_labels(self, project: int, labels: Mapping[int, int]) -> None:
        """New annotations -> tasks, for the share of labels that come from the queue; never waits."""
        if project in self.steered:
            with self._guard:
                known = self._labels.setdefault(project, {})
                known.update(labels if len(known) < TASKS_REMEMBERED else {})

    def note_suggested(self, project: int, version: str, suggested: Mapping[int, Sequence[SentSpan]]) -> None:
        """Spans that are suggested for tasks; never waits. Losing them loses no label, only what was removed."""
        with self._guard:
            known = self._suggested.setdefault((project, version), {})
            known.update(suggested if len(known) < TASKS_REMEMBERED else {})
        with suppress(queue.Full):
            self._batches.put_nowait((project, {}))

    def note_missed(self, project: int | None, why: str) -> None:
        """An event could not be stored: reconcile as soon as Redis is back. None: it is not known which project's."""
        with self._guard:
            self._missed[project] = why

    def _run(self) -> None:
        self._want_all()
        going = True
        while going:
            going, pools = self._gather()
            try:
                if "safe" in self.watch.poll():
                    self.note_missed(None, "Redis was not safe for a while")
                self._mark_missed()
                self.rejects.store(self._stores)
                self._store_labels()
                self._store_suggested()
                self.steered = frozenset(self._stores.task_queue.steered())
                self.labelled.refresh()
                for project, documents in pools.items():
                    self._store_pool(project, documents)
            except StoreUnavailable as error:
                log.debug("background waits: %s", error.message)
            except Exception:
                log.exception("background")

    def _gather(self) -> tuple[bool, dict[int, dict[int, Document]]]:
        """Whether to go on afterwards, and what waits, of each project; of a second without anything, nothing."""
        try:
            waiting = [self._batches.get(timeout=1.0)]
        except queue.Empty:
            return True, {}
        self._stopping.wait(GATHER_SECONDS)
        with suppress(queue.Empty):
            while True:
                waiting.append(self._batches.get_nowait())
        pools: dict[int, dict[int, Document]] = {}
        for project, documents in filter(None, waiting):
            pools.setdefault(project, {}).update(documents)
        return None not in waiting, {project: documents for project, documents in pools.items() if documents}

    def _want_all(self) -> None:
        """Labelled texts of the first projects are read before anybody asks, so that a start changes no answer."""
        with suppress(StoreUnavailable):
            self.labelled.expect(self._stores.projects.projects()[:TABLES_KEPT])

    def _store_pool(self, project: int, documents: Mapping[int, Document]) -> None:
        added = self._stores.projects.add_pool(project, documents, self._limit)
        if added and not self._stores.examples.count(project):
            self._stores.jobs.enqueue_refit(project)  # the cold start gains from them

    def _store_labels(self) -> None:
        """While Redis is away they wait; those of a crash are missing from the share, and from nothing else."""
        while True:
            with self._guard:
                if not self._labels:
                    return
                project, labels = self._labels.popitem()
            try:
                self._stores.label_stream.note_labels(project, labels)
            except StoreUnavailable:
                self.note_labels(project, labels)
                raise

    def _store_suggested(self) -> None:
        """While Redis is away they wait."""
        while True:
            with self._guard:
                if not self._suggested:
                    return
                (project, version), suggested = self._suggested.popitem()
            try:
                self._stores.suggestions.keep(project, version, suggested)
            except StoreUnavailable:
                with self._guard:
                    newer = self._suggested.get((project, version), {})
                    self._suggested[project, version] = {**suggested, **newer}
                raise

    def _mark_missed(self) -> None:
        """Forgets what was missed only when it is marked: a crash or an outage in between loses nothing."""
        with self._guard:
            missed = dict(self._missed)
        for project, why in missed.items():
            for number in [project] if project is not None else self._stores.projects.projects():
                self._stores.projects.mark_dirty(number, why)
            with self._guard:
                if self._missed.get(project) == why:
                    del self._missed[project]
