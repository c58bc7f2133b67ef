"""Every project at a glance, for the page that lists them: two round trips for a hundred of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from backend.admin_json import ControlMetrics
from backend.outcomes import FINAL_STATES
from backend.redis_access.connection import Client, guarded
from backend.redis_access.keys import job_key, project_key
from model.evidence.learning_curve import learning_curve

REDIS_BATCH_PROJECTS = 100

FAILURES_SUFFIX, ERROR_SUFFIX = ":failures", ":error"
"""Of the fields in `trouble`: `<kind>:failures`, and the last error."""


@dataclass(frozen=True)
class Glance:
    """One project. `evidence` and `surveys`: how many there are; `days`: labels by day; `curve`: the accuracies of its
    control with the most evidence, by rising labels; `figures` of each control, None where no refit of this release
    has counted them yet."""

    project: int
    title: str
    live: str
    pinned: str
    published_at: float | None
    labels: int
    evidence: int
    surveys: int
    days: dict[str, int]
    curve: list[float]
    figures: dict[str, ControlMetrics] | None
    running: str
    failures: dict[str, int]
    errors: dict[str, str]


class _Read(NamedTuple):
    """What the first round trip answers of one project."""

    live: str | None
    pinned: str | None
    moved: str | None
    labels: int
    meta: tuple[str | None, str | None, str | None]
    evidence: int
    surveys: int
    curve: dict[str, str]
    job: str | None
    trouble: dict[str, str]


@guarded
def read_glances(client: Client, projects: Sequence[int]) -> list[Glance]:
    """In the order of `projects`."""
    found: list[Glance] = []
    for start in range(0, len(projects), REDIS_BATCH_PROJECTS):
        found += _read(client, projects[start : start + REDIS_BATCH_PROJECTS])
    return found


def _read(client: Client, projects: Sequence[int]) -> Iterator[Glance]:
    pipeline = client.pipeline(transaction=False)
    for project in projects:
        pipeline.get(project_key(project, "live"))
        pipeline.get(project_key(project, "pinned"))
        pipeline.lindex(project_key(project, "hist"), 0)
        pipeline.hlen(project_key(project, "ex"))
        pipeline.hmget(project_key(project, "meta"), "title", "summary", "figures")
        pipeline.llen(project_key(project, "evidence"))
        pipeline.llen(project_key(project, "surveys"))
        pipeline.hgetall(project_key(project, "curve"))
        pipeline.get(project_key(project, "job"))
        pipeline.hgetall(project_key(project, "trouble"))
    replies, size = pipeline.execute(), len(_Read._fields)
    rows = [_Read(*replies[start : start + size]) for start in range(0, len(replies), size)]
    for row in rows:
        pipeline.hget(job_key(row.job or ""), "status")
    for project, row, status in zip(projects, rows, pipeline.execute(), strict=True):
        yield _glance(project, row, str(status or ""))


def _glance(project: int, row: _Read, status: str) -> Glance:
    title, summary, figures = row.meta
    activity = json.loads(summary or "{}").get("activity") or {}
    curves = learning_curve({key: float(value) for key, value in row.curve.items()})
    longest = max(curves.values(), key=lambda points: sum(point["n"] for point in points), default=[])
    return Glance(
        project=project,
        title=title or "",
        live=row.live or "",
        pinned=row.pinned or "",
        published_at=float(json.loads(row.moved)["at"]) if row.moved else None,
        labels=int(row.labels),
        evidence=int(row.evidence),
        surveys=int(row.surveys),
        days=activity.get("days") or {},
        curve=[point["accuracy"] for point in longest],
        figures=json.loads(figures) if figures else None,
        running=status if status and status not in FINAL_STATES else "",
        failures={
            name.removesuffix(FAILURES_SUFFIX): int(count)
            for name, count in row.trouble.items()
            if name.endswith(FAILURES_SUFFIX) and int(count)
        },
        errors={
            name.removesuffix(ERROR_SUFFIX): text for name, text in row.trouble.items() if name.endswith(ERROR_SUFFIX)
        },
    )
