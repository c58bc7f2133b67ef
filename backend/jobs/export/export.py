"""Exports a version on the server: runs the process, shows how far it is, and keeps the archive. Runs in the trainer.

The process dies with its worker. The scheduler then sends the job again, and it begins anew: what an attempt has
written is of no use to the next."""

from __future__ import annotations

import logging
import secrets
import shutil
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal

from backend.artifacts.runs import beside
from backend.errors import ArtifactsUnavailable, BackendError, Conflict, StoreUnavailable
from backend.export.archive.shelf import Archive, Shelf
from backend.export.archive.stored import StoredExports
from backend.export.wish import Wish
from backend.jobs.context import Context, context
from backend.jobs.export.process import ENDED, run_export
from backend.jobs.export.run_directory import ARCHIVE, Request, Step, read_result, write_request
from backend.jobs.redis_retry import patiently
from backend.jobs.train.run_lock import hold_run
from backend.outcomes import FINAL_STATES, HELD_BY_ANOTHER, JobOutcome
from backend.redaction import hide_secrets
from backend.store.work.exports import EXPORT_ATTEMPTS, Export, Fields
from model.errors import VersionError
from model.failpoints import failpoint

log = logging.getLogger(__name__)

ALIVE_SECONDS = 60.0
"""A trainer that shows no sign of life for so long is killed."""


SHOWN: tuple[Literal["stage", "step", "of", "seconds_left"], ...] = ("stage", "step", "of", "seconds_left")
"""Of what the process tells."""


class Ended(Exception):
    """Ends an attempt. `why`: cancelled (or another one has begun), or stopped (this worker is to end)."""

    def __init__(self, why: JobOutcome) -> None:
        super().__init__(why)
        self.why = why


def export(project: int, run: str) -> str:
    """One attempt; how it ended. (RQ calls this.)"""
    work, project = context(), int(project)
    exports = work.stores.exports
    record = exports.find(project)
    if record is None or record["id"] != run or record["status"] in FINAL_STATES:
        return JobOutcome.OVER
    owner = secrets.token_hex(8)
    if not exports.hold(project, owner):
        return HELD_BY_ANOTHER
    try:
        return Attempt(work, record, owner).run()
    finally:
        with suppress(StoreUnavailable):  # it runs out by itself
            exports.release(project, owner)


class Attempt:
    """One attempt at one export."""

    def __init__(self, work: Context, record: Export, owner: str) -> None:
        self.work, self.record, self.owner = work, record, owner
        self.exports, self.project, self.id = work.stores.exports, record["project"], record["id"]
        self.shelf = Shelf(work.settings.exports_dir.absolute(), self.project)
        self.stored = StoredExports(work.artifacts.store) if work.artifacts is not None else None
        self.shown: Fields = {}

    def run(self) -> str:
        attempts = self.record["attempts"]
        if attempts >= EXPORT_ATTEMPTS:
            return self.fail(f"its worker or its process died {EXPORT_ATTEMPTS} times: is there too little memory?")
        self.exports.change(self.project, self.id, {"status": "running", "attempts": attempts + 1, "stage": "starting"})
        failpoint("export.begin", self.project)
        try:
            return self.make()
        except Ended as ended:
            if ended.why is JobOutcome.STOPPED:  # no fault of its own
                self.exports.change(self.project, self.id, {"status": "queued", "attempts": attempts, "stage": ""})
            return ended.why
        except StoreUnavailable:
            raise
        except (BackendError, VersionError) as error:
            return self.fail(error.message, error.code)
        except OSError as error:
            log.exception("export failed")
            return self.fail(hide_secrets(f"{type(error).__name__}: {error.strerror}"))

    def make(self) -> str:
        """Raises Ended, BackendError, VersionError or OSError."""
        directory = self.shelf.scratch(self.id)
        try:
            with hold_run(directory) as lock:
                write_request(directory, self.request())
                self.bring()
                said = run_export(self.work.settings, directory, self.look, lock)
                if not said:
                    self.keep()
                shutil.rmtree(directory, ignore_errors=True)
        except Conflict:
            return HELD_BY_ANOTHER
        except (Ended, ArtifactsUnavailable, VersionError):
            shutil.rmtree(directory, ignore_errors=True)
            raise
        if not said:
            return self.end(JobOutcome.DONE)
        if said["error"]:
            return self.fail(said["message"], said["error"])
        log.warning("export %s: %s", self.id, said["message"])
        return JobOutcome.CRASHED  # the scheduler sends it again

    def bring(self) -> None:
        """The version to this disk: the process has no credentials of the object store. Raises Ended, VersionError,
        ArtifactsUnavailable, OSError."""
        artifacts, version = self.work.artifacts, self.record["version"]
        if artifacts is not None:
            look = partial(self.look, Step(stage="fetching the version"))
            patiently(self.work, lambda: beside(look, lambda: artifacts.ensure(self.project, version)))

    def request(self) -> Request:
        own = self.record
        return Request(
            self.project,
            own["format"],
            own["version"],
            own["control"],
            own["int8"],
            own["accept_loss"],
            own.get("texts", Wish.texts),  # an export may have been asked for by the release before
            own.get("minutes", Wish.minutes),
        )

    def look(self, said: Step) -> None:
        """While it works: shows how far it is. Raises Ended. A Redis that is away keeps nobody from exporting."""
        self.work.keep_alive(ALIVE_SECONDS)
        if self.work.stopping:
            raise Ended(JobOutcome.STOPPED)
        fields: Fields = {name: said[name] for name in SHOWN if name in said}
        try:
            self.exports.hold(self.project, self.owner)
            if not self.exports.change(self.project, self.id, {} if fields == self.shown else fields):
                raise Ended(JobOutcome.CANCELLED)
            self.shown = fields
        except StoreUnavailable as error:
            log.warning("export goes on without Redis id=%s: %s", self.id, error.message)

    def keep(self) -> None:
        """Puts the archive where it is found, and makes room. Raises Ended, ArtifactsUnavailable, OSError."""
        directory, own = self.shelf.scratch(self.id), self.record
        result = read_result(directory)
        archive = directory / ARCHIVE
        about = Archive(
            id=self.id,
            project=self.project,
            format=own["format"],
            version=result.version,
            control=result.control,
            int8=own["int8"],
            accept_loss=own["accept_loss"],
            texts=self.request().texts,
            minutes=self.request().minutes,
            name=result.name,
            bytes=archive.stat().st_size,
            sha256=result.sha256,
            at=time.time(),
            parity=result.parity,
            refused=result.refused,
        )
        if self.stored is not None:
            self.hand_over(self.stored, archive, about)
        else:
            self.shelf.put(archive, about)
        self.shelf.sweep(time.time(), self.id)

    def hand_over(self, stored: StoredExports, archive: Path, about: Archive) -> None:
        """To the object store, and nothing stays on this disk. Waits for a store that is away, as a training does; what
        was stopped or cancelled meanwhile is not announced. Raises Ended, ArtifactsUnavailable, OSError."""
        look = partial(self.look, Step(stage="handing over"))
        try:
            patiently(self.work, lambda: beside(look, lambda: stored.send(archive, about)))
            look()
            patiently(self.work, lambda: stored.announce(about))
        except ArtifactsUnavailable:
            look()  # raises where it is this worker that ends
            raise

    def fail(self, message: str, code: str = ENDED) -> str:
        """Paths of this machine are nobody's business."""
        shown = message.replace(str(self.work.settings.data_dir.absolute()), "DATA_DIR")
        return self.end(JobOutcome.FAILED, shown, code)

    def end(self, status: JobOutcome, message: str = "", code: str = "") -> str:
        patiently(self.work, lambda: self.exports.finish(self.project, self.id, status, message, code))
        log.info("export over id=%s status=%s %s", self.id, status, message)
        return status
