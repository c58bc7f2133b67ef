"""How background work and the move of the live pointer end: the words that jobs return, compare and are counted by."""

from __future__ import annotations

from enum import StrEnum


class JobOutcome(StrEnum):
    """How a job ended. The text stands in logs, in the records of trainings and runs and, with `_`, in metrics.

    A job returns one, or one with more words after it, as in `unusable config: no Choices`. Which ones a kind of job
    has is a column of JOB_KINDS."""

    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    PINNED = "pinned"
    SUPERSEDED = "superseded"
    NO_CONFIG = "no config"
    UNUSABLE_CONFIG = "unusable config"
    DONE = "done"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    """The worker is to end: the work goes on elsewhere."""
    CRASHED = "crashed"
    FENCED = "fenced"
    """A later attempt has begun."""
    PLANNED = "planned"
    NO_VERSION = "no version"
    NOTHING_TO_CHOOSE = "nothing to choose"
    STEERED = "steered"
    OFF = "off"
    NOTHING_PLANNED = "nothing planned"
    NOTHING_LEFT = "nothing left to queue"
    GOES_ON = "goes on"
    OVER = "over"
    HELD = "held"
    WAITS = "waits"


class PublishOutcome(StrEnum):
    """What publishing a version came to: the words of publish.lua. The last three change nothing."""

    PUBLISHED = "published"
    ALREADY = "already"
    SUPERSEDED = "superseded"
    PINNED = "pinned"
    FENCED = "fenced"


FINAL_STATES = frozenset({JobOutcome.DONE, JobOutcome.REJECTED, JobOutcome.FAILED, JobOutcome.CANCELLED})
"""States of a training, or of a run of predictions, that is over."""

HELD_BY_ANOTHER = f"{JobOutcome.HELD} by another worker"


def waits_after_failure(seconds: float) -> str:
    """The outcome of a job that came too soon after a failure: the scheduler sends it again."""
    return f"{JobOutcome.WAITS} {seconds:.0f} s after a failure"
