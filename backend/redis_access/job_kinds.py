"""The kinds of background work, in one table: what each is called, which function does it, in which queue, how it may
end, and for how long it may run and wait."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backend.outcomes import JobOutcome
from backend.settings.settings import Settings


@dataclass(frozen=True)
class JobKind:
    """One kind of work. `name` is what logs, metrics and the keys of failures call it."""

    name: str
    function: str
    former_function: str | None  # of the release before the modules moved: what was queued then runs after an upgrade
    queue: str
    outcomes: tuple[JobOutcome, ...]
    """First words of what the function returns; a reconciliation returns what went wrong."""
    seconds: Callable[[Settings], float]
    """How long it may take. The worker is told to stop then, and killed JOB_GRACE_SECONDS later."""
    longest_wait_seconds: int = 600
    """Most that it waits after failures in a row."""


def _refit_seconds(settings: Settings) -> float:
    return settings.refit_timeout_seconds


def _sync_seconds(settings: Settings) -> float:
    return 60 * settings.sync_timeout_minutes


def _train_seconds(settings: Settings) -> float:
    """The trainer ends a training in order by itself; this is for a trainer that does not."""
    return 60 * settings.finetune_timeout_minutes + settings.job_grace_seconds


def _files_seconds(settings: Settings) -> float:
    """Cutting ten gigabytes of text takes minutes; a shard of long texts as well."""
    return 4 * 3600.0


def _teach_seconds(settings: Settings) -> float:
    """A stretch, and the question that it ends with."""
    return 120.0


def _examine_seconds(settings: Settings) -> float:
    """Ten projects, each with a Label Studio that answers late."""
    return 300.0


JOB_KINDS = (
    JobKind(
        name="refit",
        function="backend.jobs.learn.refit.refit",
        former_function="backend.jobs.refit.refit",
        queue="learn",
        outcomes=(
            JobOutcome.PUBLISHED,
            JobOutcome.UNCHANGED,
            JobOutcome.PINNED,
            JobOutcome.SUPERSEDED,
            JobOutcome.NO_CONFIG,
            JobOutcome.UNUSABLE_CONFIG,
            JobOutcome.STOPPED,
            JobOutcome.WAITS,
            JobOutcome.FAILED,
        ),
        seconds=_refit_seconds,
        # A refit takes seconds, so one that kills its worker every minute leaves the others most of it. And whoever
        # kills workers from outside always hits some project: that one must learn again within two minutes.
        longest_wait_seconds=60,
    ),
    JobKind(
        name="sync",
        function="backend.jobs.sync.reconcile.resync",
        former_function="backend.jobs.sync.resync",
        queue="sync",
        outcomes=(JobOutcome.DONE, JobOutcome.STOPPED, JobOutcome.WAITS),
        seconds=_sync_seconds,
    ),
    JobKind(
        name="train",
        function="backend.jobs.train.train.train",
        former_function="backend.jobs.train.train",
        queue="train",
        outcomes=(
            JobOutcome.DONE,
            JobOutcome.REJECTED,
            JobOutcome.FAILED,
            JobOutcome.CANCELLED,
            JobOutcome.STOPPED,
            JobOutcome.CRASHED,
            JobOutcome.FENCED,
            JobOutcome.WAITS,
        ),
        seconds=_train_seconds,
    ),
    JobKind(
        name="plan",
        function="backend.jobs.task_queue.plan.plan",
        former_function="backend.jobs.plan.plan",
        queue="learn",
        outcomes=(
            JobOutcome.PLANNED,
            JobOutcome.NO_VERSION,
            JobOutcome.NOTHING_TO_CHOOSE,
            JobOutcome.STOPPED,
            JobOutcome.WAITS,
            JobOutcome.FAILED,
        ),
        seconds=_refit_seconds,
    ),
    JobKind(
        name="steer",
        function="backend.jobs.task_queue.write.steer",
        former_function="backend.jobs.steer.steer",
        queue="sync",
        outcomes=(
            JobOutcome.STEERED,
            JobOutcome.OFF,
            JobOutcome.NOTHING_PLANNED,
            JobOutcome.NOTHING_LEFT,
            JobOutcome.STOPPED,
            JobOutcome.WAITS,
            JobOutcome.FAILED,
        ),
        seconds=_sync_seconds,
    ),
    JobKind(
        name="predict",
        function="backend.jobs.predict.predict.predict",
        former_function="backend.jobs.predict.predict",
        queue="predict",
        outcomes=(
            JobOutcome.DONE,
            JobOutcome.GOES_ON,
            JobOutcome.PLANNED,
            JobOutcome.OVER,
            JobOutcome.HELD,
            JobOutcome.STOPPED,
            JobOutcome.WAITS,
            JobOutcome.FAILED,
        ),
        seconds=_sync_seconds,
    ),
    JobKind(
        name="examine",
        function="backend.jobs.doctor.examine.examine",
        former_function=None,
        queue="sync",
        outcomes=(JobOutcome.DONE, JobOutcome.STOPPED, JobOutcome.FAILED),
        seconds=_examine_seconds,
    ),
    JobKind(
        name="export",
        function="backend.jobs.export.export.export",
        former_function=None,
        # Nothing that people wait for while they label is done there: only the next fine-tune comes a minute later.
        queue="train",
        outcomes=(
            JobOutcome.DONE,
            JobOutcome.FAILED,
            JobOutcome.CANCELLED,
            JobOutcome.STOPPED,
            JobOutcome.CRASHED,
            JobOutcome.OVER,
            JobOutcome.HELD,
        ),
        seconds=_train_seconds,
    ),
    JobKind(
        name="files",
        function="backend.jobs.files.predict_files.predict_files",
        former_function=None,
        queue="files",
        outcomes=(
            JobOutcome.DONE,
            JobOutcome.PLANNED,
            JobOutcome.OVER,
            JobOutcome.CANCELLED,
            JobOutcome.HELD,
            JobOutcome.STOPPED,
            JobOutcome.WAITS,
            JobOutcome.FAILED,
        ),
        seconds=_files_seconds,
    ),
    JobKind(
        name="teach_texts",
        function="backend.jobs.teach.text_choice.choose_texts",
        former_function=None,
        queue="learn",
        outcomes=(JobOutcome.PLANNED, JobOutcome.OVER, JobOutcome.STOPPED, JobOutcome.FAILED),
        seconds=_refit_seconds,
    ),
    JobKind(
        name="teach",
        function="backend.jobs.teach.questions.teach",
        former_function=None,
        queue="predict",
        outcomes=(
            JobOutcome.DONE,
            JobOutcome.GOES_ON,
            JobOutcome.OVER,
            JobOutcome.CANCELLED,
            JobOutcome.HELD,
            JobOutcome.STOPPED,
            JobOutcome.WAITS,
            JobOutcome.FAILED,
        ),
        seconds=_teach_seconds,
    ),
)

REFIT, SYNC, TRAIN, PLAN, STEER, PREDICT, EXAMINE, EXPORT, FILES, TEACH_TEXTS, TEACH = (
    kind.function for kind in JOB_KINDS
)

KIND_OF_FUNCTION = {kind.function: kind for kind in JOB_KINDS}

KIND_OF_NAME = {kind.name: kind for kind in JOB_KINDS}
