"""The versions that are kept: which one is live, why each came or was refused, and what an admin may do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from backend.admin_json import VersionAnswer
from backend.application.projects import describe_project, describe_versions
from backend.application.services import Services
from backend.record_json import Move
from backend.ui.views.head import Head, view_head
from backend.ui.views.job import JobView, view_job

KIND_WORDS = {"head": "refit", "finetune": "fine-tune"}


@dataclass(frozen=True)
class Figure:
    """A measure of a version: `control` "" where it is of the whole, and its value as it is kept."""

    control: str
    name: str
    value: float


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
    figures: list[Figure]


@dataclass(frozen=True)
class VersionsView:
    """Newest first; `moves`: what was live when, newest first; `trainings`: how each fine-tune ended."""

    head: Head
    versions: list[VersionRow]
    moves: list[Move]
    trainings: list[JobView]


def view_versions(services: Services, project: int) -> VersionsView:
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
        figures=list(_figures(entry)),
    )


def _figures(entry: VersionAnswer) -> list[Figure]:
    """Numbers only; what is nested is of a control."""
    found, metrics = [], entry["metrics"]
    for name, value in metrics.items() if isinstance(metrics, dict) else ():
        if isinstance(value, dict):
            found += [Figure(name, inner, float(number)) for inner, number in value.items() if _is_number(number)]
        elif isinstance(value, int | float) and not isinstance(value, bool) and name != "pool":
            found.append(Figure("", name, float(value)))
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
