"""Records as they lie in the store and are shown: of jobs, reconciliations, rejects, labels and the task queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict


class Progress(TypedDict, total=False):
    """How far a job is: what a progress bar shows."""

    stage: str
    step: int
    of: int
    epoch: float
    metric: Mapping[str, float] | None
    seconds_left: float | None
    version: str
    message: str


class JobRecord(Progress):
    """A training: `status` queued, running, done, rejected, failed or cancelled. Times in epoch seconds."""

    id: str
    status: str
    project: NotRequired[int]
    by: NotRequired[str]
    loss: NotRequired[float]
    asked_at: NotRequired[float]
    sent_at: NotRequired[str]
    started_at: NotRequired[float]
    ended_at: NotRequired[float]
    beat: NotRequired[str]
    rq: NotRequired[str]
    attempts: NotRequired[int]
    stops: NotRequired[int]
    error: NotRequired[str]
    force: NotRequired[int]
    lifts: NotRequired[str]
    cancel: NotRequired[str]


class Trouble(TypedDict):
    """What keeps failing: failures in a row, the last error, seconds until the next attempt."""

    failures: int
    error: str
    retry_in: int


class SyncRecord(TypedDict, total=False):
    """The last reconciliation `at`; of the last successful one `ok_at` and `drift`. `next`: when one is due."""

    at: float
    ok_at: float
    next: float
    seconds: float
    listed: int
    changed: int
    drift: int
    unread: int
    pool_added: int
    stored: int
    updated: int
    removed: int
    unchanged: int
    stale: int
    relabels: int
    relabel_error: str
    error: str
    status: int | None
    hint: str


class RejectEntry(TypedDict):
    """One kind of reject as it is told: of how many `tasks`, how often, and when first and `last` (epoch seconds)."""

    where: str
    code: str
    words: str
    times: int
    first: float
    last: float
    tasks: int


class Annotator(TypedDict):
    """One annotator of a control."""

    reliability: float | None
    labels: int


class Disputed(TypedDict):
    """A task that annotators disagree on, and how much."""

    task: int
    score: float


class PairAgreement(TypedDict):
    """Two annotators, the `tasks` that both have answered, and how far their answers agree, from 0 to 1."""

    people: tuple[int, int]
    tasks: int
    agreement: float


class Overlap(TypedDict):
    """Tasks with several people's answers, and their mean agreement; `kappa`: beyond what chance would bring, of one
    label a task. `pairs`: those that share most."""

    tasks: int
    agreement: float
    kappa: float | None
    pairs: list[PairAgreement]


class WithModel(TypedDict):
    """Of one annotator's `n` last answers that were tested before they were learned, how many were `right`, that is, as
    the model had said; the same of `blind` ones, which were given without a pre-label."""

    n: int
    right: int
    blind: int
    blind_right: int


class PatternsFared(TypedDict):
    """Matches of a label in the labelled texts, those that were right, and what a match weighs (log-odds)."""

    tried: float
    right: float
    weight: float


class Pace(TypedDict):
    """One annotator's answers, the time of the last (epoch seconds), and how many an hour of work."""

    labels: int
    last: float
    an_hour: NotRequired[float]


class Activity(TypedDict):
    """Answers by day (UTC, `2026-11-29`), the last ones, and by annotator."""

    days: dict[str, int]
    people: dict[str, Pace]


class Summary(TypedDict, total=False):
    """What the last refit saw, control by control."""

    labels: dict[str, dict[str, int]]
    quarantined: dict[str, dict[str, int]]
    samples: dict[str, int]
    classes: dict[str, int]
    seq: int
    annotators: dict[str, dict[str, Annotator]]
    disagreements: dict[str, list[Disputed]]
    agreement: dict[str, dict[str, float]]
    overlap: dict[str, Overlap]
    with_model: dict[str, dict[str, WithModel]]
    patterns: dict[str, dict[str, PatternsFared]]
    activity: Activity


class PlanAgreement(TypedDict):
    """The agreement of a plan's answers, made `at`, with those of the one before."""

    kappa: float
    n: int
    changed: int
    at: float


class HuntState(TypedDict):
    """A class that is hunted: it has `labels` of `wanted` (of an `ordered` one: found since); of `asked` tasks that
    were labelled for it `found` were it; `vain`: so few that it is let alone."""

    control: str
    label: str
    labels: int
    wanted: int
    asked: int
    found: int
    ordered: bool
    vain: bool


class HuntOrderAnswer(TypedDict):
    """What an admin said of a class: its members have `words`, match `regex`, or are `like` tasks; `count` are wanted
    since `at`; or it is not to be hunted (`stopped`)."""

    control: str
    label: str
    stopped: bool
    words: list[str]
    regex: str
    like: list[int]
    count: int
    at: float


class HuntsAnswer(TypedDict):
    """Scarce classes that are hunted, as the last plan found them, and orders; `share`: HUNT_SHARE."""

    share: float
    hunts: list[HuntState]
    orders: list[HuntOrderAnswer]


class QueueState(TypedDict, total=False):
    """The queue that Label Studio has, and the last plan of the next one."""

    version: str
    at: float
    live: str
    answers: int
    known: int
    rows: int
    open: int
    unread: int
    tasks: int
    switched_at: float
    planned_at: float
    planned_live: str
    agreements: list[PlanAgreement]
    hunts: list[HuntState]
    off: str
    off_at: float


Move = TypedDict("Move", {"version": str, "from": str, "by": str, "at": float})
"""One move of the live pointer."""


PlannedSpan = tuple[int, int, str, float, str]
"""A span that is suggested: start and end in the text that was read, label, score, reason."""


class SpanPlace(TypedDict):
    """Where a marked span stands, in characters of the plain text, and what stands there."""

    start: int
    end: int
    text: str


class LabelErrorRow(TypedDict):
    """A label that is probably wrong, by its key. `annotations`: id -> the version that it is said of. Of marked text
    also what `kind` of error it is, and where what was given and what is suggested stand."""

    task: int
    annotations: dict[str, str]
    text: str
    given: str
    suggested: str
    p_given: float
    p_suggested: float
    flag: str
    kind: NotRequired[str]
    given_span: NotRequired[SpanPlace]
    suggested_span: NotRequired[SpanPlace]
