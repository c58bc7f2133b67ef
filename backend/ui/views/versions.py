"""The versions that are kept: which one is live, why each came or was refused, and what an admin may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from backend.admin_json import ExportAnswer, VersionAnswer
from backend.application.encoder.change import describe_encoder
from backend.application.export.exports import Exports
from backend.application.projects import describe_project, describe_versions
from backend.application.services import Services
from backend.encoder_json import EncoderAnswer
from backend.export.wish import Format
from backend.labelstudio.label_display import spec_of
from backend.record_json import Move
from backend.redaction import hide_in
from backend.store.work.encoder_changes import Wish
from backend.store.work.loss_curves import LossCurve
from backend.ui.paging import Place, cut_page
from backend.ui.views.head import Head, view_head
from backend.ui.views.job import JobView, view_job
from model.evidence.gate import VerdictJson

KIND_WORDS = {"head": "refit", "finetune": "fine-tune"}


FIGURE_WORDS = {
    "accuracy": "accuracy",
    "f1": "F1",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "log_loss": "log-loss",
    "ece": "calibration error",
    "saved": "clicks saved",
}
"""What a page calls a measure; others keep the name that they are kept under."""

LESS_IS_BETTER = frozenset({"log_loss", "ece", "brier"})

TRAININGS_SHOWN = 20
"""The last fine-tunes."""

KEPT, LIVE = "kept", "live"
"""The lists, as an address names them: `?list=live&page=2`."""

ROWS_SHOWN = 10
"""Of either list."""


@dataclass(frozen=True)
class Measured:
    """The measures of one control on `n` answers that were held out, 0 where that is not said."""

    control: str
    n: int
    figures: dict[str, float]


@dataclass(frozen=True)
class Compared:
    """One measure of both sides. `better`: whether the challenger's is, None where they are alike."""

    measure: str
    champion: float
    challenger: float
    better: bool | None


@dataclass(frozen=True)
class Comparison:
    """A fine-tune against the champion on `n` `answers` of one control that neither had learned. `change`: of `what`,
    less is better, with its 95 % interval; `proof`: share of resamples in which the challenger was better."""

    version: str
    control: str
    accepted: bool
    reason: str
    n: int
    answers: str
    rows: list[Compared]
    what: str
    change: float | None
    interval: list[float] | None
    proof: float | None


@dataclass(frozen=True)
class VersionRow:
    """`labels`: annotated tasks that it has learned, of its largest control. `reason`: the gate's, or of a
    correction. `created_at` in epoch seconds."""

    version: str
    kind: str
    status: str
    live: bool
    pinned: bool
    parent: str
    created_at: float
    labels: int
    reason: str
    measured: list[Measured]


@dataclass(frozen=True)
class EncoderView:
    """The way to another encoder. `state`: encoding, refused, taken or "" where it has not begun; `gains`: points of
    accuracy by control (F1 of marked text) at `labels`, for `cost` times the work of a text; `wish`: what people want;
    `differs`: whether the live version was made with another than BASE_MODEL's."""

    base_model: str
    state: str
    differs: bool
    wish: str
    left: int
    labels: int
    again_at: int
    gains: dict[str, float]
    cost: float
    reason: str


@dataclass(frozen=True)
class VersionsView:
    """Newest first; `moves`: what was live when, newest first, both a page of them; `trainings`: how each fine-tune
    ended; `curves`: the losses of the last ones, by job; `comparisons`: of the newest fine-tune that is kept;
    `encoder`: None where no other one was ever named; `export`: the newest one and what can be taken away; `kept`,
    `formats` and `controls` to choose from."""

    head: Head
    versions: list[VersionRow]
    versions_place: Place
    moves: list[Move]
    moves_place: Place
    trainings: list[JobView]
    curves: dict[str, LossCurve]
    comparisons: list[Comparison]
    encoder: EncoderView | None
    export: ExportAnswer
    kept: list[str]
    formats: list[str]
    controls: list[str]


def view_versions(services: Services, project: int, asked: Mapping[str, str]) -> VersionsView:
    """Of a known project. `asked`: the `page` of one `list`."""
    answer = describe_project(services, project)
    kept = describe_versions(services, project)
    trainings = [view_job(job) for job in services.stores.jobs.recent(project, TRAININGS_SHOWN)]
    spec = spec_of(services.stores.projects.config(project))
    curves = services.stores.loss_curves.read(project, [job.id for job in trainings])
    versions, versions_place = cut_page(kept["versions"], _of(asked, KEPT), ROWS_SHOWN)
    moves, moves_place = cut_page(services.stores.versions.history(project), _of(asked, LIVE), ROWS_SHOWN)
    return VersionsView(
        head=view_head(services, project, answer),
        versions=[_row(entry, kept["live"], kept["pinned"]) for entry in versions],
        versions_place=versions_place,
        moves=moves,
        moves_place=moves_place,
        trainings=trainings,
        curves={job: curve for job, curve in curves.items() if len(curve["loss"]) > 1},
        comparisons=_compare(kept["versions"]),
        encoder=_view_encoder(services, project),
        export=hide_in(Exports(services, project).describe()),
        kept=[entry["version"] for entry in kept["versions"]],
        formats=[one.value for one in Format],
        controls=[control.name for control in (*spec.controls, *spec.spans)] if spec else [],
    )


def _view_encoder(services: Services, project: int) -> EncoderView | None:
    found, base = describe_encoder(services.stores, services.settings, project), services.registry.encoders.loaded
    differs = base is not None and found["made_with"] not in ("", base.digest)
    current = differs and found.get("digest") == (base.digest if base else "")
    if not differs and found["state"] != "taken" and found["wish"] == Wish.COMPARE:
        return None
    said = found if current or not differs else EncoderAnswer(base_model="", live="", made_with="", wish="", state="")
    return EncoderView(
        base_model=found["base_model"],
        state=said["state"],
        differs=differs,
        wish=found["wish"],
        left=said.get("left", 0),
        labels=said.get("labels", 0),
        again_at=said.get("again_at", 0),
        gains=said.get("gains", {}),
        cost=said.get("cost", 1.0),
        reason=said.get("reason", ""),
    )


def _of(asked: Mapping[str, str], name: str) -> Mapping[str, str]:
    """What is asked for of one list: the page is of the one that is named."""
    return asked if asked.get("list", KEPT) == name else {}


def _compare(versions: Sequence[VersionAnswer]) -> list[Comparison]:
    """Of the newest one that was compared at all."""
    for entry in versions:
        if gate := entry.get("gate"):
            return [_comparison(entry["version"], control, verdict) for control, verdict in gate.items()]
    return []


def _comparison(version: str, control: str, verdict: VerdictJson) -> Comparison:
    found = verdict["evidence"]
    champion, challenger = found.get("champion", {}), found.get("challenger", {})
    change = found.get("log_loss_change", found.get("edits_change"))
    return Comparison(
        version=version,
        control=control,
        accepted=verdict["accepted"],
        reason=verdict["reason"],
        n=found.get("n", 0),
        rows=[
            _compared(name, champion[name], challenger[name]) for name in champion if name in challenger and name != "n"
        ],
        answers="text" if "edits_change" in found else "answer",
        what="edits a text" if "edits_change" in found else "log-loss",
        change=change,
        interval=found.get("interval"),
        proof=found.get("better"),
    )


def _compared(name: str, champion: float, challenger: float) -> Compared:
    less = challenger < champion
    better = None if champion == challenger else less if name in LESS_IS_BETTER else not less
    return Compared(FIGURE_WORDS.get(name, name), champion, challenger, better)


def _row(entry: VersionAnswer, live: str, pinned: str | None) -> VersionRow:
    return VersionRow(
        version=entry["version"],
        kind=KIND_WORDS.get(entry["kind"], entry["kind"]),
        status=entry["status"],
        live=entry["version"] == live,
        pinned=entry["version"] == pinned,
        parent=entry["parent"] or "",
        created_at=datetime.fromisoformat(entry["created_at"]).timestamp(),
        labels=max(entry["labels_seen"].values(), default=0),
        reason=entry["reason"],
        measured=_measured(entry),
    )


def _measured(entry: VersionAnswer) -> list[Measured]:
    """Of each control; the number of unlabelled tasks, which stands beside them, is no measure."""
    metrics = entry["metrics"]
    found = []
    for control, values in metrics.items() if isinstance(metrics, dict) else ():
        if isinstance(values, dict):
            numbers = {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
            n = int(numbers.pop("n", 0))
            found.append(Measured(control, n, {FIGURE_WORDS.get(name, name): numbers[name] for name in numbers}))
    return found
