"""The versions that are kept: which one is live, why each came or was refused, and what an admin may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from backend.admin_json import VersionAnswer
from backend.application.projects import describe_project, describe_versions
from backend.application.services import Services
from backend.record_json import Move
from backend.ui.views.head import Head, view_head
from backend.ui.views.job import JobView, view_job

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


@dataclass(frozen=True)
class Measured:
    """The measures of one control on `n` answers that were held out, 0 where that is not said."""

    control: str
    n: int
    figures: dict[str, float]


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
class VersionsView:
    """Newest first; `moves`: what was live when, newest first; `trainings`: how each fine-tune ended."""

    head: Head
    versions: list[VersionRow]
    moves: list[Move]
    trainings: list[JobView]


def view_versions(services: Services, project: int, _: Mapping[str, str]) -> VersionsView:
    """Of a known project."""
    answer = describe_project(services, project)
    kept = describe_versions(services.settings, services.stores.versions, project)
    return VersionsView(
        head=view_head(services, project, answer),
        versions=[_row(entry, kept["live"], kept["pinned"]) for entry in kept["versions"]],
        moves=kept["history"],
        trainings=[view_job(job) for job in services.stores.jobs.recent(project)],
    )


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
