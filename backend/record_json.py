"""Records as they lie in the store and are shown: of jobs, reconciliations, rejects, labels and the task queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NotRequired, TypedDict


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
    teacher: dict[str, bool]
    activity: Activity


class PlanAgreement(TypedDict):
    """The agreement of a plan's answers, made `at`, with those of the one before."""

    kappa: float
    n: int
    changed: int
    at: float


HuntStage = Literal[
    "scarce", "ordered", "given up", "all found", "stopped", "from the next choice on", "not in the label config"
]


class HuntState(TypedDict):
    """A class that is hunted, or was: it has `labels` of `wanted` (of an `ordered` one: found since); of `asked` tasks
    that were labelled for it `found` were it; `vain`: so few that it is let alone. `matches`: unlabelled tasks with the
    words or a match of the expression that were ordered, where they were looked for."""

    control: str
    label: str
    labels: int
    wanted: int
    asked: int
    found: int
    ordered: bool
    vain: bool
    state: HuntStage
    matches: NotRequired[int]


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
    """Scarce classes that are hunted (`hunted_classes` in all) and those that were ordered, as the last plan found
    them; the orders themselves; `share`: HUNT_SHARE."""

    share: float
    hunted_classes: int
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
    hunted_classes: int
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


class ControlDuplicates(TypedDict):
    """Labelled texts of one control that are there again: groups of exact duplicates and of near ones, tasks whose
    duplicates have another label; how often labels agree, and whether near-duplicates take them over."""

    exact_groups: int
    near_groups: int
    disagreeing: int
    exact: float
    near: float
    carries_near: bool


class PoolRow(TypedDict):
    """One task. `kind`: what it is; `like`: the task that it is a duplicate of; `value`: the mean cosine to its nearest
    neighbours of what is far, characters of what is short or long; `about`: the script."""

    kind: str
    task: int
    text: str
    like: NotRequired[int]
    value: NotRequired[float]
    about: NotRequired[str]


class PoolReport(TypedDict):
    """`tasks` of the pool that were looked at, `compared` of them with each other by their features; `labelled`:
    unlabelled tasks whose text is labelled; of each kind the `counts`, and the first rows. `at`: epoch seconds; `seq`:
    the labels known then; `pool`: tasks that it had."""

    at: float
    seq: int
    pool: int
    tasks: int
    compared: int
    labelled: int
    counts: dict[str, int]
    rows: list[PoolRow]


class LabelErrorRow(TypedDict):
    """A label that is probably wrong, by its key. `annotations`: id -> the version that it is said of. Of marked text
    also what `kind` of error it is, and where what was given and what is suggested stand. `like`: the task of a
    duplicate that has another label."""

    task: int
    annotations: dict[str, str]
    text: str
    given: str
    suggested: str
    p_given: float
    p_suggested: float
    flag: str
    like: NotRequired[int]
    kind: NotRequired[str]
    given_span: NotRequired[SpanPlace]
    suggested_span: NotRequired[SpanPlace]


class TeacherRun(TypedDict):
    """`step` of `of` texts are done; `bad`: answers that could not be used; `requests` that were made, also those that
    came to nothing; `money`: of the tokens, where TEACHER_PRICE is set; `retry_in`: seconds."""

    id: str
    status: str
    step: int
    of: int
    answered: int
    bad: int
    requests: int
    tokens: int
    money: NotRequired[float]
    message: str
    error: str
    retry_in: float


class TeacherAnswer(TypedDict):
    """Where texts are sent ("" for nowhere), and the last run. `kept`: control -> whether the labels leave in what the
    teacher said; `cost`: of a new run."""

    host: str
    model: str
    run: TeacherRun | None
    kept: NotRequired[dict[str, bool]]
    cost: NotRequired[TeacherCost]


class TeacherCost(TypedDict):
    """Of a run that has not begun; tokens are estimated; `money` where TEACHER_PRICE is set."""

    requests: int
    tokens: int
    questions: list[str]
    money: NotRequired[float]
