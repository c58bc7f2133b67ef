"""Predicts a whole project, straight into Label Studio: one call is one stretch of one shard. Runs in the sync worker.

At least once: a call may be lost, come twice or die anywhere, and whoever comes next looks at what is there. A stretch
is short, and the next one queues up behind whatever else the sync worker has to do.
"""

from __future__ import annotations

import logging
import secrets
import time
from contextlib import suppress
from itertools import pairwise

from backend.client.predict import PredictClient
from backend.errors import BackendError, LabelStudioError, StoreUnavailable
from backend.jobs.context import Context, context
from backend.jobs.heartbeat import beating
from backend.jobs.predict.shard import Interrupted, ShardRunner
from backend.labelstudio.rest.client import LabelStudioClient
from backend.outcomes import FINAL_STATES, HELD_BY_ANOTHER, JobOutcome, waits_after_failure
from backend.redaction import hide_secrets
from backend.store.work.failures import FailureStore
from backend.store.work.prediction_runs import (
    LEASE_SECONDS,
    PLANNING_CALL,
    SHARD_ATTEMPTS,
    PredictionRunStore,
    Run,
    is_over,
)
from model.failpoints import failpoint

log = logging.getLogger(__name__)

STRETCH_SECONDS = 20.0
"""After so long a call ends, and the rest of its shard waits for its turn."""

SHARD_TASKS, MOST_SHARDS = 500, 100
"""Tasks a shard; a project has at most so many, then larger ones."""

FINAL_STATUSES = frozenset({401, 403, 404})
"""Refusals of Label Studio that waiting does not change."""


def predict(project: int, run: str, number: int) -> str:
    """One stretch; how it ended. (RQ calls this.)"""
    work, project, number = context(), int(project), int(number)
    runs, trouble = work.stores.prediction_runs, work.stores.failures
    record = runs.find(project)
    if record is None or record["id"] != run or record["status"] in FINAL_STATES:
        return JobOutcome.OVER
    if (wait := trouble.waits(project, "predict")) > 0:
        return waits_after_failure(wait)  # the scheduler sends it again
    owner = secrets.token_hex(8)
    if not runs.hold(project, number, owner):
        return HELD_BY_ANOTHER
    failpoint("predict.begin", project)
    try:
        with beating(LEASE_SECONDS / 6, lambda: runs.hold(project, number, owner)):
            ended = _work(work, project, record, number, owner)
    except StoreUnavailable:
        raise
    except Exception as error:  # whatever this project's Label Studio sends, the others are served
        return _note_failure(runs, trouble, project, run, error)
    finally:
        with suppress(StoreUnavailable):  # it runs out by itself
            runs.release(project, number, owner)
    trouble.clear(project, "predict")
    if ended == JobOutcome.GOES_ON:
        runs.send(project, run, number)
    return ended


def _work(work: Context, project: int, record: Run, number: int, owner: str) -> str:
    settings, runs, versions = work.settings, work.stores.prediction_runs, work.stores.versions
    if not settings.has_label_studio:
        raise LabelStudioError("LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are not set", status=401)
    with LabelStudioClient.of(settings) as studio:
        if number == PLANNING_CALL:
            return _plan(runs, studio, project, record)
        shard = runs.shards(project).get(number)
        if shard is None or is_over(shard):
            return JobOutcome.OVER
        with PredictClient(settings, pause=lambda seconds: _pause(work, seconds)) as asker:
            walk = ShardRunner(runs, versions, studio, asker, project, record, number, shard, owner)
            return _stretch(work, walk)


def _plan(runs: PredictionRunStore, studio: LabelStudioClient, project: int, record: Run) -> str:
    first, last, tasks = studio.tasks.bounds(project, labelled=bool(record["labelled"]))
    if not tasks:
        runs.finish(project, record["id"], JobOutcome.DONE, "there is no such task")
        return JobOutcome.DONE
    runs.start(project, record["id"], cut_range(first, last, tasks), tasks)
    return JobOutcome.PLANNED


def cut_range(first: int, last: int, tasks: int) -> list[tuple[int, int | None]]:
    """Shards as (first, last) id. Ids are spread evenly here, which they need not be: a shard may be empty, or large.
    The last one has no end, so that it gets tasks that are imported meanwhile."""
    count = max(1, min(MOST_SHARDS, last - first + 1, -(-tasks // SHARD_TASKS)))
    starts = [first + (last - first + 1) * number // count for number in range(count)]
    return [(start, after - 1) for start, after in pairwise(starts)] + [(starts[-1], None)]


def _stretch(work: Context, walk: ShardRunner) -> str:
    """Portions until the shard or the time is over."""
    began = time.monotonic()
    if walk.begin() > SHARD_ATTEMPTS:
        return walk.give_up(
            f"its worker died {SHARD_ATTEMPTS} times at task {walk.shard['cursor'] + 1} or a little later"
        )
    try:
        while not walk.shard["done"]:
            took = walk.portion()
            _rest(work, took)
            if time.monotonic() - began > STRETCH_SECONDS and not walk.shard["done"]:
                return JobOutcome.GOES_ON
    except Interrupted as interruption:
        walk.end_in_order()
        return str(interruption)
    except Exception:
        walk.end_in_order()
        raise
    return JobOutcome.DONE


def _rest(work: Context, took: float) -> None:
    """Leaves Label Studio and the web process to others, for their share of the time."""
    share = work.settings.predict_share
    _pause(work, min(60.0, took * (1 - share) / share))


def _pause(work: Context, seconds: float) -> None:
    """Raises Interrupted when this worker shall end."""
    until = time.monotonic() + seconds
    while not work.stopping and (left := until - time.monotonic()) > 0:
        time.sleep(min(0.2, left))
    if work.stopping:
        raise Interrupted(JobOutcome.STOPPED)


def _note_failure(runs: PredictionRunStore, failures: FailureStore, project: int, run: str, error: Exception) -> str:
    """What will not pass ends the run; the rest waits, longer each time, and is then sent again by the scheduler."""
    known = isinstance(error, BackendError)
    message = error.message if isinstance(error, BackendError) else hide_secrets(f"{type(error).__name__}: {error}")
    if not known:
        log.error("predict", exc_info=error)
    hint = error.evidence.get("hint") if isinstance(error, BackendError) else None
    said = f"{message}: {hint}"[:400] if hint else message[:400]
    if _is_final(error):
        runs.finish(project, run, JobOutcome.FAILED, said)
        return f"{JobOutcome.FAILED}: {said}"
    wait = failures.fail(project, "predict", said)
    log.warning("predict failed project=%s, again in %.0f s: %s", project, wait, said)
    return f"{JobOutcome.FAILED}: {said}"


def _is_final(error: Exception) -> bool:
    if isinstance(error, LabelStudioError):
        return error.evidence.get("status") in FINAL_STATUSES
    return isinstance(error, BackendError) and error.evidence.get("passing") is False
