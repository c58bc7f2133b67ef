"""What stands above every tab of a project: what is live, what runs, what is wrong."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from backend.admin_json import ProjectAnswer
from backend.application.projects import describe_project
from backend.application.services import Services
from backend.rejects.report import describe_rejects
from backend.store.admin.findings import Report
from backend.ui.views.job import JobView, view_job

KINDS = {
    "refit": "Learning",
    "train": "Fine-tuning",
    "sync": "Reconciling",
    "predict": "Predicting",
    "files": "Predicting files",
    "plan": "Planning",
    "steer": "Writing the queue",
}

LIVE_CHECKS = frozenset({"reconciled", "language", "work", "tasks and labels", *KINDS})
"""Checks of the doctor that say what a project's page knows by itself, and newer."""


@dataclass(frozen=True)
class Problem:
    """What is wrong, in words, and what to do about it ("": it mends itself). `failed`: else it is a warning."""

    words: str
    remedy: str
    failed: bool = False


@dataclass(frozen=True)
class Checked:
    """What the doctor found: `problems`, the worst first, how many checks were in order, and how many could not be
    looked at. `at`: epoch seconds, None before the first; `asked`: whether it looks again."""

    at: float | None
    asked: bool
    problems: list[Problem]
    fine: int
    skipped: int


@dataclass(frozen=True)
class Head:
    """One project. `title` "" where Label Studio was never reached; `since`: when the live version became it; `tasks`:
    its address in Label Studio, "" where that is not known."""

    id: int
    title: str
    live: str
    served: str
    since: float | None
    pinned: str
    labels: int
    labels_today: int
    pending: int
    pool: int
    tasks: str
    running: JobView | None
    problems: list[Problem]


def view_head(services: Services, project: int, answer: ProjectAnswer | None = None) -> Head:
    """`answer`: what describe_project said, where it is at hand."""
    stores = services.stores
    answer = answer or describe_project(services, project)
    moves = stores.versions.history(project, 1)
    return Head(
        id=project,
        title=stores.projects.title(project),
        live=answer["live"],
        served=answer["served"],
        since=float(moves[0]["at"]) if moves else None,
        pinned=answer["pinned"] or "",
        labels=answer["examples"],
        labels_today=labels_today(stores.projects.summary(project).get("activity", {}).get("days", {})),
        pending=answer["pending"],
        pool=answer["pool"],
        tasks=tasks_url(services.settings.label_studio_url, project),
        running=view_job(job) if (job := answer["job"]) else None,
        problems=[*find_problems(answer), *find_in_report(stores.findings.read(project))],
    )


def view_report(report: Report | None, asked: bool) -> Checked:
    """Of the installation, or of a project."""
    findings = report["findings"] if report else []
    counts = Counter(one["state"] for one in findings)
    return Checked(
        at=report["at"] if report else None,
        asked=asked,
        problems=find_in_report(report, live=frozenset()),
        fine=counts["ok"],
        skipped=counts["skipped"],
    )


def find_in_report(report: Report | None, live: frozenset[str] = LIVE_CHECKS) -> list[Problem]:
    """What the doctor found wrong, failures first, but for the checks that the page makes by itself (`live`)."""
    wrong = [one for one in (report["findings"] if report else []) if one["state"] in ("fail", "warn")]
    return [
        Problem(f"{one['check']}: {one['evidence']}" if one["check"] else one["evidence"], one["remedy"], failed)
        for failed in (True, False)
        for one in wrong
        if (one["state"] == "fail") is failed and one["check"] not in live
    ]


def labels_today(days: dict[str, int]) -> int:
    """Of the present day, by UTC."""
    return days.get(time.strftime("%Y-%m-%d", time.gmtime()), 0)


def tasks_url(label_studio: str, project: int) -> str:
    """The project's Data Manager; `?task=T` opens one."""
    return f"{label_studio.rstrip('/')}/projects/{project}/data" if label_studio else ""


def find_problems(answer: ProjectAnswer) -> list[Problem]:
    """What keeps failing, what is switched off or lost, and what comes to nothing, the worst first."""
    found = []
    for kind, trouble in answer["trouble"].items():
        times = "once" if trouble["failures"] == 1 else f"{trouble['failures']} times in a row"
        later = f"tried again in {trouble['retry_in']} s" if trouble.get("retry_in") else ""
        if kind == "sync" and (hint := str(answer["last_sync"].get("hint") or "")):
            later = f"{hint}; {later}" if later else hint
        found.append(Problem(f"{KINDS.get(kind, kind)} failed {times}: {trouble['error']}", later, True))
    if language := answer.get("language"):
        words, _, cure = language.rpartition(": ")
        found.append(Problem(words, cure))
    for reject in describe_rejects(answer["rejects"], time.time()):
        found.append(Problem(reject, ""))
    for control, counts in answer["quarantined"].items():
        listed = ", ".join(f"{label} ({count})" for label, count in list(counts.items())[:10])
        words = f"{control}: labels that the label config does not have are kept apart: {listed}"
        found.append(Problem(words, "add them to the label config again, or change those annotations"))
    for why in answer["not_learned"]:
        found.append(Problem(why, ""))
    if off := answer["queue"].get("off"):
        found.append(Problem(f"the task queue is not steered, since {off}", ""))
    if dirty := answer["dirty"]:
        found.append(Problem(f"to be reconciled with Label Studio, since {dirty}", ""))
    return found
