"""The first page: one row a project."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from backend.admin_json import ControlMetrics
from backend.application.services import Services
from backend.health.glances import Glance, read_glances
from backend.rules.recent_answers import ROWS_READ, summarise_evidence
from backend.store.admin.findings import INSTALLATION, Report
from backend.store.versions import FIRST_VERSION
from backend.ui.paging import Place, cut_page
from backend.ui.views.head import KINDS, Problem, find_in_report, labels_today

SPARK_POINTS = 16

PROJECTS_SHOWN = 50
"""On one page."""


@dataclass(frozen=True)
class Expected:
    """The accuracy of one control: to be expected on unlabelled tasks, with its interval, where that can be said, else
    that of its last `n` new labels."""

    control: str
    accuracy: float
    interval: list[float] | None
    n: int


@dataclass(frozen=True)
class ProjectRow:
    """`since`: when the live version became it, None before the first. `spark`: accuracy of new labels before they were
    learned, over the last stages of the curve."""

    id: int
    title: str
    live: str
    since: float | None
    pinned: str
    labels: int
    labels_today: int
    expected: Expected | None
    spark: list[float]
    running: str
    wrong: list[Problem]


@dataclass(frozen=True)
class ProjectsView:
    """Those of one page. `wrong`: what the doctor found that holds for all of them; `off`: what is switched off or at
    risk, and why."""

    projects: list[ProjectRow]
    place: Place
    wrong: list[Problem]
    off: dict[str, str]


class FigureCache:
    """The figures of each project that no refit has counted since an upgrade, for as long as its evidence and survey
    are the same ones."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[object, dict[str, ControlMetrics]]] = {}
        self._lock = threading.Lock()

    def figures(self, services: Services, glance: Glance) -> dict[str, ControlMetrics]:
        """Control -> how its last labels were answered before they were learned."""
        if glance.figures is not None:
            return glance.figures
        state = (glance.evidence, glance.surveys, glance.live)
        with self._lock:
            known = self._kept.get(glance.project)
        if known is not None and known[0] == state:
            return known[1]
        store = services.stores.evidence
        found = summarise_evidence(store.rows(glance.project, ROWS_READ), store.survey(glance.project))
        with self._lock:
            self._kept[glance.project] = state, found
        return found


def view_projects(
    services: Services, cache: FigureCache, off: dict[str, str], asked: Mapping[str, str]
) -> ProjectsView:
    """The known projects, by id, a page of them."""
    shown, place = cut_page(services.stores.projects.projects(), asked, PROJECTS_SHOWN)
    glances = read_glances(services.stores.client, shown)
    reports = services.stores.findings.read_many([INSTALLATION, *shown])
    rows = [_row(services, cache, glance, reports.get(glance.project)) for glance in glances]
    return ProjectsView(rows, place, find_in_report(reports.get(INSTALLATION), live=frozenset()), off)


def _row(services: Services, cache: FigureCache, glance: Glance, report: Report | None) -> ProjectRow:
    return ProjectRow(
        id=glance.project,
        title=glance.title,
        live=glance.live or FIRST_VERSION,
        since=glance.published_at,
        pinned=glance.pinned,
        labels=glance.labels,
        labels_today=labels_today(glance.days),
        expected=expect(cache.figures(services, glance) if glance.evidence else {}),
        spark=glance.curve[-SPARK_POINTS:],
        running=glance.running,
        wrong=[*_failures(glance), *find_in_report(report)],
    )


def _failures(glance: Glance) -> Iterator[Problem]:
    for kind, count in glance.failures.items():
        times = "once" if count == 1 else f"{count} times in a row"
        error = glance.errors.get(kind, "")
        yield Problem(f"{KINDS.get(kind, kind)} failed {times}{': ' if error else ''}{error}", "", True)


def expect(metrics: dict[str, ControlMetrics]) -> Expected | None:
    """Of the control with the most evidence."""
    if not metrics:
        return None
    control = max(metrics, key=lambda name: metrics[name]["n"])
    found = metrics[control]
    if pool := found.get("pool"):
        return Expected(control, pool["accuracy"], list(pool["interval"]), pool["labelled"])
    return Expected(control, found["accuracy"], None, found["n"])
