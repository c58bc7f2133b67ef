"""Asks every few seconds, from the data alone, what is due: refits, fine-tunes, reconciliations, lost work, garbage.

Losing every `rq:*` key loses nothing: this loop asks for it again. Only one scheduler is active at a time.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
import time
from contextlib import suppress

from backend.errors import StoreUnavailable
from backend.export.archive.shelf import sweep_all
from backend.jobs.context import Context, context
from backend.jobs.task_queue.schedule import QueueScheduler
from backend.jobs.version_keeping import VersionKeeping
from backend.labelstudio.label_display import spec_of
from backend.notify.courier import Courier
from backend.outcomes import FINAL_STATES, JobOutcome
from backend.processes.worker import wait_for_redis
from backend.record_json import JobRecord
from backend.rules.finetune_due import why_due
from backend.rules.finetune_facts import gather_facts, largest_control
from backend.rules.training.facts import gather_waiting
from backend.rules.training.order import Waiting, put_in_order
from backend.settings.settings import Settings
from backend.store.versions import Evaluated
from backend.store.work.trainings import TRAINING_ATTEMPTS, count_deaths
from backend.telemetry.log_context import about
from backend.telemetry.logs import configure_logs

log = logging.getLogger(__name__)

GARBAGE_SECONDS = 600.0

EXAMINE_AFTER_SECONDS = 60.0
"""After the start, when the encoder is loaded and Label Studio has called."""

LEASE_SECONDS = 10.0
"""Of silence, at the least, after which another scheduler takes over."""

TICK_SECONDS = 600.0
"""A tick that takes longer hangs: the scheduler is killed and started again."""


def run_scheduler(settings: Settings) -> None:
    """Runs until SIGTERM."""
    configure_logs(settings, "scheduler")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    work = context()
    wait_for_redis(work.stores)
    scheduler, courier = Scheduler(work), Courier(settings, work.stores.outbox)
    courier.start()
    while not stop.is_set():
        try:
            with work.deadline.within(TICK_SECONDS):
                scheduler.tick()
        except StoreUnavailable as error:
            log.warning("scheduler waits: %s", error.message)
        stop.wait(settings.scheduler_seconds)
    scheduler.leave()
    courier.leave()


class Scheduler:
    """One scheduler; `tick` does everything that is due now."""

    def __init__(self, work: Context) -> None:
        self.work, self.stores, self.settings = work, work.stores, work.settings
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._cleaned = self._began = self._held = time.monotonic()
        self._active = False
        self._due: dict[int, str] = {}
        self._watch = self.stores.watch()
        self._versions = VersionKeeping(work)
        self._queue = QueueScheduler(work.settings, work.stores)

    def tick(self) -> bool:
        """Whether this one is the active scheduler. Raises StoreUnavailable."""
        if not self._holds_on():
            return False
        restarted = "restarted" in self._watch.poll()
        if restarted or not self._active:
            self._take_over("Redis was restarted or failed over" if restarted else "understudy was started")
            self._active = True
        self._find_lost_projects()
        self._versions.look()
        self._schedule_examination()
        for project in self.stores.projects.projects():
            if time.monotonic() - self._held > LEASE_SECONDS / 3 and not self._holds_on():
                return False
            try:
                with about(project=project):
                    self.schedule(project)
            except StoreUnavailable:
                raise
            except Exception:  # what one project's data does stops no other's
                log.exception("scheduler: project %s", project)
        self._request_trainings()
        if time.monotonic() - self._cleaned > GARBAGE_SECONDS:
            self._cleaned = time.monotonic()
            self._collect_garbage()
        return True

    def _holds_on(self) -> bool:
        """Whether this is the active one still. With very many projects a tick takes longer than the lease, and whoever
        takes over reconciles all of them."""
        self._held = time.monotonic()
        holds = self.stores.hold_lease(self.owner, max(LEASE_SECONDS, 4 * self.settings.scheduler_seconds))
        self._active &= holds
        return holds

    def leave(self) -> None:
        """Let another one take over at once."""
        with suppress(StoreUnavailable):  # the lease runs out by itself
            self.stores.give_up_lease(self.owner)

    def schedule(self, project: int) -> None:
        """What is due in one project. Raises StoreUnavailable."""
        if self.stores.versions.live(project) is None:
            self._restore(project)
        pinned = bool(self.stores.versions.pinned(project))
        behind = self.stores.versions.fitted(project) != self.stores.examples.seq(project)
        behind = behind or self._has_new_patterns(project) or self._has_new_answers(project)
        if behind and not pinned and not self.stores.failures.waits(project, "refit"):
            self.stores.jobs.enqueue_refit(project)
        self._schedule_training(project, pinned)
        if self._sync_is_due(project):
            self.stores.jobs.enqueue_sync(project)
        self._schedule_predictions(project)
        self._schedule_files(project)
        if export := self.stores.exports.lost(project):
            log.warning("export lost, sent again id=%s", export)
            self.stores.exports.send(project, export)
        self._schedule_teacher(project)
        self._queue.schedule(project)

    def _has_new_answers(self, project: int) -> bool:
        """Of a teacher, which the last refit has not read."""
        return bool(self.settings.teacher_url) and self.stores.teachings.is_pending(project)

    def _schedule_teacher(self, project: int) -> None:
        if self.settings.teacher_url and (record := self.stores.teachings.lost(project)) is not None:
            self.stores.teachings.send(project, record)

    def _has_new_patterns(self, project: int) -> bool:
        """For controls that mark text, which the last refit has not read."""
        spec = spec_of(self.stores.projects.config(project))
        return spec is not None and bool(spec.spans) and self.stores.patterns.is_pending(project)

    def _schedule_training(self, project: int, pinned: bool) -> None:
        jobs = self.stores.jobs
        if running := jobs.running(project):
            if jobs.is_lost(running) and not self.stores.failures.waits(project, "train"):
                self._send_again(running)
            return
        self._note_failure(project)
        due = (why_due(self.settings, gather_facts(self.stores, project, pinned, marked)) for marked in (False, True))
        if reason := next(filter(None, due), ""):
            self._due[project] = reason

    def _request_trainings(self) -> None:
        """Of those that are due, and of those that wait already, the one goes first from which most is expected.
        Raises StoreUnavailable."""
        jobs, (due, self._due) = self.stores.jobs, (self._due, {})
        asked: list[JobRecord] = [
            {"id": str(project), "project": project, "status": "queued", "by": "policy"} for project in due
        ]
        for place in put_in_order([self._gather_waiting(record) for record in asked]):
            project = int(place.job)
            record, created = jobs.request_training(project, by=f"policy: {due[project]}")
            log.info("fine-tune due project=%s job=%s new=%s: %s", project, record["id"], created, due[project])
        running = [jobs.running(project) for project in self.stores.projects.projects()]
        waiting = {one["id"]: one for one in running if one is not None and one["status"] == "queued"}
        if len(waiting) > 1 or any("stage" in one for one in waiting.values()):
            places = put_in_order([self._gather_waiting(one) for one in waiting.values()])
            jobs.put_in_order([(waiting[place.job], place.why) for place in places])

    def _gather_waiting(self, record: JobRecord) -> Waiting:
        try:
            return gather_waiting(self.stores, record)
        except StoreUnavailable:
            raise
        except Exception:  # what one project's data does stops no other's
            log.exception("scheduler: order of the training %s", record["id"])
            return Waiting(record["id"], waited=0.0)

    def _schedule_examination(self) -> None:
        """What the doctor finds is kept for the model page. The first one waits until all processes are there."""
        every = 60 * self.settings.doctor_minutes
        if not every or time.monotonic() - self._began < EXAMINE_AFTER_SECONDS:
            return
        last = self.stores.findings.read()
        if last is None or not last["at"] <= time.time() < last["at"] + every:
            self.stores.findings.request()

    def _schedule_predictions(self, project: int) -> None:
        if not self.stores.failures.waits(project, "predict"):
            for run, shard in self.stores.prediction_runs.lost(project):
                self.stores.prediction_runs.send(project, run, shard)

    def _schedule_files(self, project: int) -> None:
        if self.stores.failures.waits(project, "files"):
            return
        for run, shard in self.stores.file_runs.lost(project):
            log.warning("shard of files lost, sent again run=%s number=%s", run, shard)
            self.stores.file_runs.send(project, run, shard)
        self.stores.file_runs.revive(project)

    def _note_failure(self, project: int) -> None:
        """A training that failed or was cancelled was an attempt, too: without this it would be asked for again now."""
        unproven = (JobOutcome.FAILED, JobOutcome.CANCELLED)
        record, last = self.stores.jobs.newest(project), self.stores.versions.evaluated(project)
        if record is None or record.get("status") not in unproven or last.get("job") == record["id"]:
            return
        summary = self.stores.projects.summary(project)
        facts: Evaluated = {
            "labels": largest_control(self.stores, project, False)[1],
            "texts": largest_control(self.stores, project, True)[1],
            "seq": summary.get("seq"),
            "job": record["id"],
        }
        self.stores.versions.note_evaluated(project, facts, accepted=False)

    def _send_again(self, record: JobRecord) -> None:
        if count_deaths(record) >= TRAINING_ATTEMPTS:
            message = f"its worker died {TRAINING_ATTEMPTS} times"
            self.stores.jobs.update(
                record["id"], {"status": JobOutcome.FAILED, "ended_at": time.time(), "message": message}
            )
            return
        log.warning("training lost, sent again job=%s", record["id"])
        self.stores.jobs.send(record["id"])

    def _sync_is_due(self, project: int) -> bool:
        if not self.settings.has_label_studio:
            return False
        if self.stores.failures.waits(project, "sync"):
            return False
        last, now = self.stores.projects.last_sync(project), time.time()
        # A clock that was set back must not put it off for hours.
        is_old = not float(last.get("at", 0)) <= now < float(last.get("next", 0))
        return is_old or bool(last.get("error")) or bool(self.stores.projects.dirty(project))

    def _take_over(self, why: str) -> None:
        """At the start: what was sent to a backend that did not run, Label Studio does not send again. And a Redis that
        was restarted, restored or failed over may have gone back in time: what it lacks is in Label Studio, and the
        names that it has forgotten are on disk."""
        from model.versions.directory import version_order

        for project in self.stores.projects.projects():
            self.stores.projects.mark_dirty(project, why)
            names = self._versions.names(project)
            self.stores.versions.seed_counters(project, [version_order(name) for name in names])

    def _find_lost_projects(self) -> None:
        """Projects with versions that Redis knows nothing of: it lost its data, Label Studio has the labels."""
        for project in self._versions.projects() - set(self.stores.projects.projects()):
            self.stores.projects.mark_dirty(project, "Redis has lost this project")

    def _restore(self, project: int) -> None:
        """Point at the newest published version that is kept when Redis has lost its pointer."""
        from model.versions.directory import version_order

        names = self._versions.names(project) if project in self._versions.projects() else []
        if not names:
            return
        self.stores.versions.seed_counters(project, [version_order(name) for name in names])
        newest = [m for m in self._versions.manifests(project) if m.status == "published"]
        latest = max(newest, key=lambda m: (m.created_at, version_order(m.version)), default=None)
        if latest is not None:
            # Sequence numbers begin anew, so the restored model counts as fitted on nothing.
            self.stores.versions.publish(project, latest.version, expected=None, seq=0, by="restored from disk")
            log.warning("live pointer restored project=%s version=%s", project, latest.version)

    def _collect_garbage(self) -> None:
        projects = self.stores.projects.projects()
        exports = self.stores.exports.running(projects)
        if swept := sweep_all(self.settings.exports_dir, {number: one["id"] for number, one in exports.items()}):
            log.info("exports deleted: %s", ", ".join(swept))
        read: dict[int, set[str]] = {}
        for project in projects:
            read[project] = {exports[project]["version"]} if project in exports else set()
            files = self.stores.file_runs.find(project)
            read[project] |= {files["version"]} if files and files["status"] not in FINAL_STATES else set()
        self._versions.collect_all(projects, read)
