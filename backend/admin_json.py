"""What the admin API answers, and the records in it: shared by those who write them and those who read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NotRequired, TypedDict

from backend.record_json import (
    Annotator,
    ControlDuplicates,
    Disputed,
    JobRecord,
    Move,
    PlannedSpan,
    Progress,
    QueueState,
    RejectEntry,
    SpanPlace,
    SyncRecord,
    TeacherAnswer,
    Trouble,
)

if TYPE_CHECKING:
    from model.evidence.anchoring_bias import Anchoring
    from model.evidence.auto_accept import DialJson
    from model.evidence.forecast import LabelsTo
    from model.evidence.gate import VerdictJson
    from model.evidence.learning_curve import CurvePoint
    from model.evidence.marked_text import MarkedFigures
    from model.evidence.pool_accuracy import PoolEstimate
    from model.spec import Json, JsonObject


class PatternFigures(TypedDict):
    """Patterns of a label; from the last version on its matches in labelled texts, those that were right, and what a
    match weighs (log-odds)."""

    patterns: int
    tried: NotRequired[float]
    right: NotRequired[float]
    weight: NotRequired[float]


class ControlPatterns(TypedDict):
    """What people brought for one control, and when (epoch seconds)."""

    digest: str
    at: float
    bytes: int
    labels: dict[str, PatternFigures]


class PatternRow(TypedDict, total=False):
    """One of them: `pattern` or `regex`."""

    label: str
    pattern: str
    regex: str
    ignore_case: bool


class PatternsAnswer(TypedDict):
    """By control; `pending`: the live version has not learned them yet."""

    patterns: dict[str, ControlPatterns]
    pending: bool
    rows: NotRequired[list[PatternRow]]


class Handed(TypedDict):
    """Of the last `labels`, how many are of tasks that the queue had handed out."""

    labels: int
    of_queue: int


class QueueAnswer(QueueState, total=False):
    """That with the answers since, and where the last labels came from; {} before the first plan."""

    used: int
    handed: Handed


class ControlMetrics(TypedDict):
    """How a control's last `n` new labels were answered before they were learned."""

    n: int
    accuracy: float
    confidence: float
    log_loss: float
    pool: NotRequired[PoolEstimate]
    marked: NotRequired[MarkedFigures]


class CurveAnswer(TypedDict):
    """The learning curve of each control, and its latest metrics."""

    curve: dict[str, list[CurvePoint]]
    recent: dict[str, ControlMetrics]


class Forecast(TypedDict):
    """The accuracy on unlabelled tasks with so many labels, and the labels that gains take; `cannot_tell`, of marked
    text: no gain is foreseen, since what was expected has grown faster than what came of it."""

    labels: int
    accuracy: float
    sd: float
    gains: list[LabelsTo]
    cannot_tell: NotRequired[bool]


class ControlAdvice(TypedDict):
    """What can be said of one control. `forecast_f1`, of marked text: the same of the F1 of its spans."""

    forecast: Forecast | None
    forecast_f1: NotRequired[Forecast]
    classes: dict[str, int]
    scarce: int
    dial: list[DialJson]
    copying: Anchoring | None


class Stability(TypedDict):
    """The last agreements of consecutive plans, and whether nothing changes any more."""

    kappas: list[float]
    changed: int
    n: int
    settled: bool


class Advice(TypedDict):
    """When to stop, what may be accepted unseen, and how much annotators copy."""

    controls: dict[str, ControlAdvice]
    stability: Stability | None


class ProjectAnswer(TypedDict):
    """One project."""

    id: int
    live: str
    served: str
    pinned: str | None
    examples: int
    pending: int
    pool: int
    labels: dict[str, dict[str, int]]
    quarantined: dict[str, dict[str, int]]
    annotators: dict[str, dict[str, Annotator]]
    disagreements: dict[str, list[Disputed]]
    agreement: dict[str, dict[str, float]]
    not_learned: list[str]
    metrics: dict[str, ControlMetrics]
    curve: dict[str, list[CurvePoint]]
    job: JobRecord | None
    recent_jobs: list[JobRecord]
    last_sync: SyncRecord
    queue: QueueAnswer
    trouble: dict[str, Trouble]
    dirty: str
    rejects: list[RejectEntry]
    refused: list[RejectEntry]
    number_format: str
    teacher: NotRequired[TeacherAnswer]
    spans_show: NotRequired[str]
    off: dict[str, str]
    patterns: dict[str, ControlPatterns]
    duplicates: dict[str, ControlDuplicates]
    language: NotRequired[str]
    advice: NotRequired[Advice]
    """Of one project that was asked for."""


class MarkedSpan(TypedDict):
    """Characters `start` to `end`, in code points of the text."""

    start: int
    end: int
    label: str


class ExampleAnswer(TypedDict):
    """One stored annotation; its labels as people read them. `removed`: suggestions that its annotator took away."""

    id: int
    task: int
    labels: dict[str, list[str]]
    updated_at: str
    annotator: int | None
    ground_truth: bool
    spans: NotRequired[dict[str, list[MarkedSpan]]]
    removed: NotRequired[dict[str, list[MarkedSpan]]]


class VersionAnswer(TypedDict):
    """One kept version."""

    version: str
    kind: str
    status: str
    reason: str
    parent: str | None
    created_at: str
    labels_seen: Mapping[str, int]
    metrics: Json
    snapshot_seq: int
    gate: NotRequired[Mapping[str, VerdictJson]]
    """Of a fine-tune: how it fared against the champion, by control."""


class VersionsAnswer(TypedDict):
    """The kept versions, newest first, and which one is live."""

    live: str
    pinned: str | None
    versions: list[VersionAnswer]
    history: list[Move]


class Order(TypedDict):
    """What came of an order that moves the live pointer, or that asks for a job."""

    message: str
    status: NotRequired[str]
    live: NotRequired[str]
    pinned: NotRequired[str | None]
    job: NotRequired[str]
    new: NotRequired[bool]


class LoginLink(TypedDict):
    """Where a browser logs in once, within so many `seconds`; `url`, of the client's side."""

    path: str
    seconds: int
    url: NotRequired[str]


Rollback = TypedDict("Rollback", {"live": str, "from": str, "pinned": str, "message": str})
"""A version that was made live and pinned, and the one before."""


class Suspect(TypedDict):
    """The same for people: labels as they read them. `kind` and where the spans stand: of marked text."""

    control: str
    task: int
    annotations: list[int]
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


class Searched(TypedDict):
    """How many labels a whole search looked at, and when."""

    labels: int
    at: float


class DisputedAnswer(TypedDict):
    """What `votes` of `of` annotators say of a task; `place`: of a span, where."""

    label: str
    votes: int
    of: int
    place: NotRequired[SpanPlace]


class DisputedTask(TypedDict):
    """A task whose annotators disagree, how much, and what not all of them say: the most votes first."""

    control: str
    task: int
    score: float
    text: str
    answers: list[DisputedAnswer]


class SuspectsAnswer(TypedDict):
    """Labels that are probably wrong, of those `found`; `searched` is empty before the first whole search. `disputed`:
    tasks whose annotators disagree, where several annotated some."""

    suspects: list[Suspect]
    found: int
    searched: dict[str, Searched]
    not_searched: NotRequired[list[str]]
    disputed: NotRequired[list[DisputedTask]]


class RelabelRow(TypedDict):
    """A task to look at again, as a prediction to be written. `spans`: control -> what is marked in the text then; the
    task itself tells where on its page that is."""

    task: int
    result: list[dict[str, Json]]
    score: float
    model_version: str
    spans: NotRequired[dict[str, list[PlannedSpan]]]


class ShardsLeft(TypedDict):
    """Shards of a run, and those that are over."""

    all: int
    over: int


class RefusedAnswer(TypedDict):
    """Predictions that Label Studio dropped for one reason: how many, and the first tasks."""

    words: str
    count: int
    tasks: list[int]


class RunAnswer(Progress):
    """A run that predicts a project, and how far it is: `step` of `of` tasks were looked at."""

    id: str
    status: str
    by: str
    all: bool
    asked_at: float
    ended_at: float | None
    seen: int
    written: int
    present: int
    declined: int
    dropped: int
    refused: list[RefusedAnswer]
    seconds: dict[str, float]
    shards: ShardsLeft
    error: str
    retry_in: int
    reasons: NotRequired[list[str]]
    new: NotRequired[bool]


class ArchiveAnswer(TypedDict):
    """A finished export: how large it is, how nearly it answers alike (rows of parity.json), graphs that were left out,
    and the `path` it is sent from."""

    id: str
    name: str
    format: str
    version: str
    control: str
    int8: bool
    accept_loss: bool
    texts: int
    minutes: float
    at: float
    bytes: int
    sha256: str
    parity: list[JsonObject]
    refused: list[str]
    path: str


class ExportAnswer(Progress):
    """The newest export, how far it is, the archives that are there, newest first; `error`: code of a failure."""

    id: str
    status: str
    error: str
    archives: list[ArchiveAnswer]
    by: NotRequired[str]
    format: NotRequired[str]
    control: NotRequired[str]
    int8: NotRequired[bool]
    accept_loss: NotRequired[bool]
    texts: NotRequired[int]
    minutes: NotRequired[float]
    asked_at: NotRequired[float]
    ended_at: NotRequired[float | None]
    new: NotRequired[bool]


class Action(TypedDict, total=False):
    """What an admin did."""

    at: float
    by: str
    address: str
    action: str
    project: str
    job: str
    status: str
