"""Fine-tunes a project: writes down what is to be learned, runs the training process, and publishes what it proved.

Runs in the trainer, which never runs a torch operation itself. The training process dies with it, and goes on from its
last checkpoint when the job is run again. Each attempt has a number; once a later one has begun, an earlier one that is
still alive can neither publish nor write the job's status (decision 0021).
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Literal

from backend.errors import ArtifactsUnavailable, BackendError, Conflict, StoreUnavailable, WorkerStops
from backend.jobs.context import Context, context
from backend.jobs.patterns import read_patterns
from backend.jobs.redis_retry import patiently
from backend.jobs.train.base_model_files import base_model_for, fetch_base_model, fetch_former
from backend.jobs.train.checkpoints import Checkpoints
from backend.jobs.train.process import ProcessOutcome, Progress, run_process, trainer_threads
from backend.jobs.train.run_lock import hold_run
from backend.labelstudio.task_spec import parse_label_config
from backend.outcomes import JobOutcome, PublishOutcome, waits_after_failure
from backend.record_json import JobRecord
from backend.rules.consensus import reach_consensus
from backend.rules.training.facts import find_gain
from backend.settings.settings import Settings
from backend.store.outbox.event import published
from backend.store.stores import Stores
from backend.store.versions import Evaluated, VersionStore
from backend.store.work.loss_curves import LossCurve, join_curve
from backend.store.work.trainings import TRAINING_ATTEMPTS, Fields, count_deaths
from model.errors import EncoderError, ModelError
from model.evidence.gate import find_outdone
from model.failpoints import failpoint
from model.span import SpanSampleJson
from model.training.request import PAUSE, REQUEST, Request, Result, read_result, write_json

log = logging.getLogger(__name__)

PUBLISH_TRIES = 20
LEAST_MARKED_TEXTS = 16
"""Marked texts from which it is tried to fine-tune for them: held out in three parts, fewer say nothing."""

PROTOTYPE_TEXTS = 1000
"""Unlabelled texts that a training reads for its prototypes."""

CURVE_SECONDS = 3.0
"""Between two writes of the curve of losses."""

LAST_STAGE = "writing"
"""Of a training process: no step follows."""

STOP_MARGIN_SECONDS = 3.0
"""Of STOP_SECONDS, for what follows when a training process has been killed."""

ALIVE_SECONDS, LAST_STEPS_SECONDS = 60.0, 3600.0
"""A trainer that shows no sign of life for so long is killed: while it watches, and while it publishes."""


class Stopped(Exception):
    """Ends an attempt. `why`: cancelled, stopped (this worker is to end), crashed (it is tried again later) or fenced
    (a later attempt has begun)."""

    def __init__(self, why: JobOutcome) -> None:
        super().__init__(why)
        self.why = why


PROGRESS_FIELDS: tuple[Literal["stage", "step", "of", "epoch", "loss", "seconds_left"], ...] = (
    *("stage", "step", "of", "epoch"),
    *("loss", "seconds_left"),
)
"""What a record shows of a training's progress."""


class Attempt:
    """One attempt at one training: what it may write."""

    def __init__(self, work: Context, record: JobRecord, number: int) -> None:
        self.work, self.record, self.number = work, record, number
        self.job, self.project = str(record["id"]), int(record["project"])
        self.directory = (work.settings.runs_dir / self.job).absolute()
        self.earlier: LossCurve | None = None
        self.curve_at, self.curve_steps = 0.0, 0
        there = work.artifacts
        self.checkpoints = Checkpoints(there, self.job, number, self.directory) if there is not None else None
        self.trains = False

    @property
    def token(self) -> str:
        """What it publishes with."""
        return f"{self.job}/{self.number}"

    def _pause(self) -> None:
        """This worker is to end: the process is asked to write a checkpoint, and to end. Raises Stopped when there is
        none, or when that takes too long."""
        left = self.work.stops_at - time.monotonic() - min(STOP_MARGIN_SECONDS, self.work.settings.stop_seconds / 2)
        if not self.trains or left < 0:
            raise Stopped(JobOutcome.STOPPED)
        with suppress(OSError):
            (self.directory / PAUSE).touch()

    def write(self, **fields: str | float | None) -> None:
        """Change the job's record, waiting for Redis to come back. Raises Stopped when a later attempt has begun."""
        if not patiently(self.work, lambda: self.work.stores.jobs.update(self.job, fields, self.number)):
            raise Stopped(JobOutcome.FENCED)

    def end(self, status: JobOutcome, **fields: str | float | None) -> str:
        """The training is over. Raises Stopped."""
        self.write(status=status, ended_at=time.time(), seconds_left=None, **{"error": None, **fields})
        log.info("training over job=%s status=%s %s", self.job, status, fields)
        return status

    def report(self, said: Progress) -> None:
        """While it trains: shows how far it is. Raises Stopped. A Redis that is away keeps nobody from training."""
        self.work.keep_alive(ALIVE_SECONDS)
        if self.work.stopping:
            self._pause()
        if self.checkpoints is not None and said:
            self.checkpoints.saver.look()
        fields: Fields = {
            "status": "running",
            "beat": time.time(),
            **{name: said[name] for name in PROGRESS_FIELDS if name in said},
        }
        try:
            if self.work.stores.jobs.is_cancelled(self.job):
                raise Stopped(JobOutcome.CANCELLED)
            if not self.work.stores.jobs.update(self.job, fields, self.number):
                raise Stopped(JobOutcome.FENCED)
            self._keep_curve(said)
        except StoreUnavailable as error:
            log.warning("training goes on without Redis job=%s: %s", self.job, error.message)

    def beat(self) -> None:
        """While something else is waited for: it lives. Raises Stopped."""
        self.report({})

    def _keep_curve(self, said: Progress) -> None:
        """Every CURVE_SECONDS, and when the last step is over. Raises StoreUnavailable."""
        losses = list(said.get("losses", []))
        waits = said.get("stage") != LAST_STAGE and time.monotonic() - self.curve_at < CURVE_SECONDS
        if waits or len(losses) == self.curve_steps:
            return
        store = self.work.stores.loss_curves
        if not self.curve_steps:
            self.earlier = store.read(self.project, [self.job]).get(self.job)
        curve = join_curve(self.earlier, losses, said.get("looks", []), said.get("starts", []))
        store.save(self.project, self.job, curve)
        self.curve_at, self.curve_steps = time.monotonic(), len(losses)


def train(job: str) -> str:
    """One attempt at a training, from its record to the verdict; its last status. (RQ calls this.)"""
    work = context()
    record = work.stores.jobs.get(job)
    project = int(record["project"])
    if (wait := work.stores.failures.waits(project, "train")) > 0:
        return waits_after_failure(wait)  # the scheduler sends it again
    try:
        with hold_run((work.settings.runs_dir / job).absolute()) as lock:
            number = work.stores.jobs.begin(job, project)
            if not number:
                shutil.rmtree(work.settings.runs_dir / job, ignore_errors=True)
                return str(work.stores.jobs.get(job)["status"])
            failpoint("train.begin", project)
            return _attempt(Attempt(work, record, number), lock)
    except Stopped as stop:
        return stop.why
    except Conflict as error:
        work.stores.failures.fail(project, "train", error.message)
        return error.message
    except OSError as error:  # the directory could not be made
        work.stores.jobs.update(job, {"status": JobOutcome.FAILED, "ended_at": time.time(), "message": str(error)})
        return JobOutcome.FAILED


def _attempt(attempt: Attempt, lock: int) -> str:
    try:
        status = _train(attempt, lock)
    except WorkerStops:  # while it published
        _hand_on(attempt)
        raise Stopped(JobOutcome.STOPPED) from None
    except Stopped as stop:
        if stop.why == JobOutcome.STOPPED:
            _hand_on(attempt)
        if stop.why != JobOutcome.CANCELLED:
            raise
        status = attempt.end(JobOutcome.CANCELLED, message="cancelled")
    except (StoreUnavailable, ArtifactsUnavailable):
        raise  # everything is kept on disk: the scheduler finds the training lost, and sends it again
    except (BackendError, ModelError, OSError, ValueError) as error:
        log.exception("training failed job=%s", attempt.job)
        status = attempt.end(JobOutcome.FAILED, message=str(error))
    if attempt.checkpoints is not None:
        attempt.checkpoints.forget()
    shutil.rmtree(attempt.directory, ignore_errors=True)
    return status


def _hand_on(attempt: Attempt) -> None:
    """This worker ends: another one goes on from the checkpoint. Raises StoreUnavailable."""
    if attempt.checkpoints is not None:
        with suppress(WorkerStops):  # from the one before, then
            attempt.checkpoints.saver.last()
    attempt.work.stores.jobs.give_back(attempt.job)


def _train(attempt: Attempt, lock: int) -> str:
    work, directory, checkpoints = attempt.work, attempt.directory, attempt.checkpoints
    if checkpoints is not None:
        patiently(work, lambda: checkpoints.restore(work.settings, attempt.beat))
    if not (directory / REQUEST).is_file():
        if missing := fetch_former(work, attempt.project, attempt.report):
            return _after_crash(attempt, ProcessOutcome(missing, crashed=True, code=EncoderError.code))
        request = make_request(work.settings, work.stores, attempt.project)
        if not request.task_spec.controls and _count_texts(request.spans) < LEAST_MARKED_TEXTS:
            return _search_marks(attempt)
        write_json(directory / REQUEST, request)
    if missing := fetch_base_model(work.settings, attempt.report):
        # The network may be there again later.
        return _after_crash(attempt, ProcessOutcome(missing, crashed=True, code=EncoderError.code))
    if checkpoints is not None:
        checkpoints.bring_parent(attempt.beat)
    (directory / PAUSE).unlink(missing_ok=True)
    attempt.trains = True
    ending = run_process(work.settings, directory, attempt.report, lock)
    if ending.paused:
        raise Stopped(JobOutcome.STOPPED)
    if checkpoints is not None and (made := read_result(directory)) is not None:
        patiently(work, lambda: checkpoints.hand_over(attempt.project, made.version, attempt.beat))
    work.keep_alive(LAST_STEPS_SECONDS)
    if ending.crashed:
        return _after_crash(attempt, ending)
    return patiently(work, lambda: _conclude(attempt, ending))


def _count_texts(samples: Mapping[str, Sequence[SpanSampleJson]]) -> int:
    """Marked texts of the largest control."""
    return max((len({sample["task"] for sample in own}) for own in samples.values()), default=0)


def _search_marks(attempt: Attempt) -> str:
    """A project that only marks text, and has few: its heads are fitted from nothing, calibrated on texts held out.
    Raises StoreUnavailable."""
    work, project = attempt.work, attempt.project
    pinned = work.stores.versions.pinned(project)
    if pinned and pinned == str(attempt.record.get("lifts", "")):
        work.stores.versions.unpin(project)
    attempt.write(status="running", stage="head search", beat=time.time())
    outcome = _refit_anew(work, project)
    work.stores.failures.clear(project, "train")
    if outcome != JobOutcome.PUBLISHED:
        return attempt.end(JobOutcome.REJECTED, message=f"the head search came to nothing: {outcome}")
    live = work.stores.versions.live(project)
    return attempt.end(
        JobOutcome.DONE,
        version=live,
        message=f"the span heads were fitted anew; a fine-tune takes {LEAST_MARKED_TEXTS} annotated texts",
    )


def _after_crash(attempt: Attempt, ending: ProcessOutcome) -> str:
    """The training process was killed or hung: it goes on from its checkpoint, later each time, unless it was the last
    attempt. Raises Stopped: the run's directory stays."""
    work = attempt.work
    if count_deaths(work.stores.jobs.get(attempt.job)) >= TRAINING_ATTEMPTS:
        said = f"{ending.error}, {TRAINING_ATTEMPTS} times"
        return attempt.end(JobOutcome.FAILED, message=said, error=ending.code or None)
    if attempt.checkpoints is not None:
        attempt.checkpoints.saver.last()
    wait = patiently(work, lambda: work.stores.failures.fail(attempt.project, "train", ending.error))
    log.error("training attempt lost job=%s, again in %.0f s: %s", attempt.job, wait, ending.error)
    said = f"{ending.error}; {'it goes on from its checkpoint' if attempt.trains else 'tried again'}"
    attempt.write(status="queued", sent_at=time.time(), beat=None, rq=None, message=said, error=ending.code or None)
    raise Stopped(JobOutcome.CRASHED)


def _conclude(attempt: Attempt, ending: ProcessOutcome) -> str:
    """Publishes what was proven, and says so. May be run again from the start. Raises StoreUnavailable."""
    work, project = attempt.work, attempt.project
    result = read_result(attempt.directory)
    request = json.loads((attempt.directory / REQUEST).read_text(encoding="utf-8"))
    counts = [len(samples) for samples in request["samples"].values()]
    facts: Evaluated = {
        "labels": max(counts, default=0),
        "texts": _count_texts(request.get("spans", {})),
        "seq": request["snapshot_seq"],
        "job": attempt.job,
    }
    outcome = ending.error
    if result is not None:
        facts["outdone"] = find_outdone(result.gate)
        facts["rows"], facts["share"] = find_gain(result.gate)
        lifts, seq = str(attempt.record.get("lifts", "")), request["snapshot_seq"]
        fits = partial(_fits, work, project, result.version)
        outcome = publish(work.stores.versions, project, result, seq, lifts=lifts, token=attempt.token, fits=fits)
    if outcome == PublishOutcome.FENCED:
        raise Stopped(JobOutcome.FENCED)
    work.stores.versions.note_evaluated(project, facts, accepted=bool(result and result.accepted))
    work.stores.failures.clear(project, "train")
    if result is None:
        return attempt.end(JobOutcome.FAILED, message=outcome)
    if outcome == PublishOutcome.PUBLISHED:
        work.stores.jobs.enqueue_refit(project)
        return attempt.end(JobOutcome.DONE, version=result.version, message=result.reason)
    if not counts and not work.stores.versions.pinned(project):
        outcome = f"{outcome}; the span heads were fitted anew ({_refit_anew(work, project)})"
    return attempt.end(JobOutcome.REJECTED, version=result.version, message=outcome)


def _fits(work: Context, project: int, version: str, live: str | None) -> bool:
    """Whether both were made with the same encoder; another one may have been taken while it trained."""
    digests = work.encoder_of(project, version), work.encoder_of(project, live)
    return "" in digests or digests[0] == digests[1]


def _refit_anew(work: Context, project: int) -> str:
    """Imported when it is wanted: a trainer that waits has no need of what heads are fitted with."""
    from backend.jobs.learn.refit import refit_anew

    return refit_anew(work, project)


def make_request(settings: Settings, stores: Stores, project: int) -> Request:
    """What is to be learned now. Raises BackendError for a project without a usable config."""
    spec = parse_label_config(stores.projects.config(project))
    snapshot = stores.examples.snapshot(project)
    consensus = reach_consensus(spec, snapshot.records)
    pool = stores.projects.pool(project)
    return Request(
        project=project,
        version=stores.versions.allocate(project),
        parent=stores.versions.live(project),
        snapshot_seq=snapshot.seq,
        spec=consensus.spec.to_json(),
        samples={name: [sample.to_json() for sample in samples] for name, samples in consensus.samples.items()},
        pool=[dict(document) for document in list(pool.values())[:PROTOTYPE_TEXTS]],
        base_model=base_model_for(settings, stores, project),
        models=str(settings.models_dir.absolute()),
        features=str(settings.features_dir.absolute()),
        features_mb=settings.feature_cache_mb,
        steps=settings.finetune_steps,
        threads=trainer_threads(settings),
        seed=settings.seed,
        min_examples=settings.gate_min_examples,
        precision=settings.precision,
        timings=str(settings.data_dir.absolute()),
        spans={name: [sample.to_json() for sample in samples] for name, samples in consensus.spans.items()},
        words=str(settings.words_dir.absolute()) if consensus.spans else "",
        words_mb=settings.word_cache_mb,
        priors=str(settings.priors_dir.absolute()) if consensus.spans else "",
        patterns=read_patterns(stores.patterns, project, consensus.spec).texts,
    )


def publish(
    versions: VersionStore,
    project: int,
    result: Result,
    seq: int,
    *,
    lifts: str = "",
    token: str = "",
    fits: Callable[[str | None], bool] = lambda live: True,
) -> str:
    """Make an accepted challenger live; PUBLISHED, FENCED when a later attempt than `token` has begun, or why not.

    Head refits go on while it trains, so the live version may have moved: the challenger still replaces it, and the
    refit that follows teaches it what came since. `lifts`: the pin that an admin knew of when asking for this training;
    any other one, as of a rollback since, stays. `fits`: whether it may follow a live version at all."""
    if not result.accepted:
        return result.reason
    for _ in range(PUBLISH_TRIES):
        live = versions.live(project)
        if not fits(live):
            return f"accepted, but {live} was made with another encoder, which was taken since"
        outcome = versions.publish(
            project,
            result.version,
            expected=live,
            seq=seq,
            by="trainer",
            token=token,
            lifts=lifts,
            event=published(project, result.version, live),
        )
        if outcome in (PublishOutcome.PUBLISHED, PublishOutcome.ALREADY):
            return PublishOutcome.PUBLISHED
        if outcome == PublishOutcome.FENCED:
            return outcome
        if outcome == PublishOutcome.PINNED:
            return f"accepted, but the project is pinned to {versions.pinned(project)}"
    return "accepted, but the live version kept moving"
