"""Predicts files: one call cuts them, each further one answers one shard and writes its part.

At least once: a call may be lost, come twice or die anywhere. A part is there whole or not at all, and one that is
there is not written again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import time
from contextlib import suppress

from backend.errors import ArtifactsUnavailable, BackendError, BadRequest, StoreUnavailable
from backend.files.answers import RowAnswerer
from backend.files.batch import OWN
from backend.files.cut import cut_files
from backend.files.locations import read_location, require_inside
from backend.files.output import RUN, SUCCESS, Output
from backend.files.part import write_part
from backend.files.shard import Shard
from backend.jobs.context import Context, context
from backend.jobs.heartbeat import beating
from backend.outcomes import HELD_BY_ANOTHER, JobOutcome, waits_after_failure
from backend.redaction import hide_secrets
from backend.store.work.file_runs import LEASE_SECONDS, PLANNING, SHARD_ATTEMPTS, FileRun, FileRunStore
from model.errors import ModelError
from model.failpoints import failpoint
from model.spec import Json

log = logging.getLogger(__name__)


class Interrupted(Exception):
    """This worker shall end, or the run is over."""


class _Eye:
    """What a call looks at between batches: whether to go on."""

    def __init__(self, work: Context) -> None:
        self._work, self.over = work, False

    def check(self) -> None:
        """Raises Interrupted."""
        if self.over:
            raise Interrupted(JobOutcome.OVER)
        if self._work.stopping:
            raise Interrupted(JobOutcome.STOPPED)


def predict_files(project: int, run: str, number: int) -> str:
    """How it ended. (RQ calls this.)"""
    work, project, number = context(), int(project), int(number)
    runs, trouble = work.stores.file_runs, work.stores.failures
    if not runs.is_current(project, run):
        return JobOutcome.OVER
    if (wait := trouble.waits(project, "files")) > 0:
        return waits_after_failure(wait)  # the scheduler sends it again
    owner, eye = secrets.token_hex(8), _Eye(work)
    if not runs.hold(project, number, owner):
        return HELD_BY_ANOTHER
    failpoint("files.begin", number)

    def beat() -> None:
        runs.hold(project, number, owner)
        eye.over = not runs.is_current(project, run)

    try:
        with beating(LEASE_SECONDS / 6, beat):
            ended = _work(work, project, run, number, eye)
    except Interrupted as interruption:
        return _end_in_order(runs, project, run, number, str(interruption))
    except StoreUnavailable:
        raise
    except Exception as error:  # whatever files hold and stores say
        return _note_failure(work, project, run, number, error)
    finally:
        with suppress(StoreUnavailable):  # it runs out by itself
            runs.release(project, number, owner)
    trouble.clear(project, "files")
    return ended


def _end_in_order(runs: FileRunStore, project: int, run: str, number: int, how: str) -> str:
    runs.end_in_order(project, number)
    if how == JobOutcome.STOPPED:
        runs.send(project, run, number)
    return how


def _work(work: Context, project: int, run: str, number: int, eye: _Eye) -> str:
    record = work.stores.file_runs.find(project)
    if record is None or record["id"] != run:
        return JobOutcome.OVER
    if number != PLANNING:
        return _shard(work, record, number, eye)
    ended = _plan(work, record, eye) if record["status"] == "queued" else JobOutcome.OVER
    if ended != JobOutcome.CANCELLED:
        work.stores.file_runs.forget_planning(project)
        work.stores.file_runs.top_up(project, run)
        _finish_if_over(work, project, run)
    return ended


def _plan(work: Context, record: FileRun, eye: _Eye) -> str:
    """Cuts the files and finds what is written already."""
    project, run, runs = record["project"], record["id"], work.stores.file_runs
    source, folder = read_location(record["source"], "source"), read_location(record["output"], "output")
    for place, name in ((source, "source"), (folder, "output")):
        require_inside(place, work.settings.file_roots, name)
    known = Output(folder)
    before = json.loads(known.read(folder.inside(RUN)) or b"{}")
    version = record["version"] or str(before.get("version", "")) or work.stores.versions.live(project) or ""
    if not version:
        raise BadRequest(f"project {project} has no version yet: label some tasks first", passing=False)
    work.live_model(project, version)  # it is there, and whole
    suffix, shards = cut_files(source, record["rows"], eye.check, tuple(record["prefix"] + name for name in OWN))
    if not shards:
        raise BadRequest(f"{source.url} holds no rows", passing=False)
    about = _describe(record, version, shards)
    output = Output(folder, suffix)
    there = output.parts()
    if before and before.get("digest") != about["digest"]:
        raise BadRequest(
            f"{folder.url} holds parts of another run (version {before.get('version')} of {before.get('source')}): "
            "name another folder, or empty it",
            passing=False,
        )
    if not before:
        if there:
            raise BadRequest(f"{folder.url} holds parts of something else: name another folder", passing=False)
        output.write(RUN, about)
    found = {number: output.read(output.errors(number)).count(b"\n") for number in there if number < len(shards)}
    runs.keep_plan(project, [shard.to_json() for shard in shards], found)
    about_run: dict[str, str | float] = {
        "status": "running",
        "version": version,
        "suffix": suffix,
        "began_at": time.time(),
    }
    return JobOutcome.PLANNED if runs.change(project, run, about_run) else JobOutcome.CANCELLED


def _describe(record: FileRun, version: str, shards: list[Shard]) -> dict[str, Json]:
    """What makes two runs the same: then the second goes on where the first stopped."""
    facts = [record["project"], version, record["prefix"], [shard.to_json() for shard in shards]]
    return {
        "project": record["project"],
        "version": version,
        "source": record["source"],
        "prefix": record["prefix"],
        "shards": len(shards),
        "rows": sum(shard.rows for shard in shards),
        "digest": hashlib.sha256(json.dumps(facts).encode()).hexdigest(),
    }


def _shard(work: Context, record: FileRun, number: int, eye: _Eye) -> str:
    project, run, runs, settings = record["project"], record["id"], work.stores.file_runs, work.settings
    kept = runs.shard(project, number)
    if kept is None:
        return JobOutcome.OVER
    if runs.begin(project, number) > SHARD_ATTEMPTS:
        said = f"part {number}: its worker died {SHARD_ATTEMPTS} times (rows {kept['row']} and on of {kept['file']})"
        runs.end(project, run, number, said, {"over": 1, "failed": 1})
    else:
        shard = Shard.from_json(kept)
        file, folder = read_location(shard.file, "source"), read_location(record["output"], "output")
        require_inside(file, settings.file_roots, "source")
        require_inside(folder, settings.file_roots, "output")
        answerer = RowAnswerer(
            work.live_model(project, record["version"]), settings.max_text_chars, settings.abstain_below
        )
        output = Output(folder, record.get("suffix", ""))
        found = write_part(answerer, shard, file, output, number, record["prefix"], eye.check)
        runs.end(project, run, number, "done", {"over": 1, "written": found.rows, "errors": found.errors})
    runs.top_up(project, run)
    _finish_if_over(work, project, run)
    return JobOutcome.DONE


def _finish_if_over(work: Context, project: int, run: str) -> None:
    runs = work.stores.file_runs
    sums, record = runs.sums(project), runs.find(project)
    if sums["over"] < sums["shards"] or record is None or record["id"] != run:
        return
    if failed := runs.failed(project):
        runs.finish(project, run, JobOutcome.FAILED, "; ".join(list(failed.values())[:3]))
        return
    about: dict[str, Json] = {"rows": sums["written"], "errors": sums["errors"], "version": record["version"]}
    Output(read_location(record["output"], "output")).write(SUCCESS, about)
    runs.finish(project, run, JobOutcome.DONE)


def _note_failure(work: Context, project: int, run: str, number: int, error: Exception) -> str:
    """What will not pass ends the run; the rest waits, longer each time, and is then sent again by the scheduler."""
    runs = work.stores.file_runs
    runs.end_in_order(project, number)
    said = error.message if isinstance(error, BackendError | ModelError) else f"{type(error).__name__}: {error}"
    said = hide_secrets(said)[:400]
    passing = isinstance(error, ArtifactsUnavailable)
    if isinstance(error, BackendError | ModelError | FileNotFoundError | PermissionError) and not passing:
        runs.finish(project, run, JobOutcome.FAILED, said)
        return f"{JobOutcome.FAILED}: {said}"
    wait = work.stores.failures.fail(project, "files", said)
    log.warning("predicting files failed project=%s, again in %.0f s: %s", project, wait, said, exc_info=error)
    return f"{JobOutcome.FAILED}: {said}"


NICENESS = 10
"""Of a worker of files: what people wait for goes first on a machine that they share."""


def give_way() -> None:
    """Lets all other processes of this machine go first."""
    os.nice(NICENESS)
