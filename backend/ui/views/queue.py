"""The task queue: which tasks come next and why, which classes are hunted, and how far runs are that predict all of
them, or files, or ask a teacher."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from backend.admin_json import QueueAnswer, RunAnswer
from backend.application.files.file_runs import describe_files
from backend.application.prediction_runs import describe_prediction
from backend.application.projects import describe_project
from backend.application.services import Services
from backend.application.task_queue import HUNTED, describe_hunts, hunted_controls
from backend.errors import NotFound
from backend.outcomes import FINAL_STATES
from backend.record_json import HuntState
from backend.redaction import hide_secrets
from backend.rules.queue_share import BYPASSED, describe_handed, is_bypassed
from backend.store.stores import Stores
from backend.store.task_queue import PlannedTask, QueuePlan
from backend.ui.formats import format_percent
from backend.ui.paging import Place, cut_page
from backend.ui.views.head import Head, view_head
from backend.ui.views.teacher.view import TeacherView, view_teacher
from model.labels import plain_text
from model.spec import Document

ROLES = {"chosen": "chosen", "explore": "explored", "blind": "blind", "hunt": "hunted"}

TEXT_CHARACTERS = 240
"""Of a task's text that are shown."""

TASKS_SHOWN = 5
"""Tasks that are named of each reason why Label Studio refused predictions."""


FIELDS = ("control", "label", "words", "regex", "like", "count")
"""Of the form that orders a hunt."""

OVER = ("stopped", "all found")
"""States of a hunt that need no button."""


@dataclass(frozen=True)
class QueueRow:
    """A task, where it stands (from 1), and the score by which Label Studio hands it out, the least first."""

    place: int
    task: int
    role: str
    score: float
    text: str


@dataclass(frozen=True)
class HuntRow:
    """A class that has `labels` of `wanted` (of an ordered one: found since); of `asked` tasks labelled for it `found`
    were it; `matches` unlabelled ones have its words. `hunted`: what the button sends that stops it."""

    control: str
    label: str
    labels: int
    wanted: int
    asked: int
    found: int
    matches: int | None
    state: str
    hunted: str


@dataclass(frozen=True)
class HuntForm:
    """The form that orders a hunt: `controls` to choose from, `values` of its fields, and what is wrong with them."""

    controls: list[str]
    values: dict[str, str]
    errors: dict[str, str]


@dataclass(frozen=True)
class RunView:
    """The last run that predicts all tasks. `share`: of its tasks that were looked at; `failed`: of what Label Studio
    dropped, why, and which tasks."""

    id: str
    status: str
    over: bool
    by: str
    asked_at: float
    ended_at: float | None
    step: int
    of: int
    seconds_left: float | None
    written: int
    present: int
    declined: int
    dropped: int
    reasons: list[str]
    error: str
    message: str


@dataclass(frozen=True)
class FilesView:
    """The last run that predicts files. `step` of `of` rows are written, `kept` of them by an earlier run; `errors`:
    rows without an answer; `rate`: rows a second."""

    id: str
    status: str
    over: bool
    by: str
    source: str
    output: str
    version: str
    asked_at: float
    ended_at: float | None
    step: int
    of: int
    kept: int
    errors: int
    rate: float
    seconds_left: float | None
    shards: int
    shards_over: int
    workers: int
    error: str
    message: str


@dataclass(frozen=True)
class QueueView:
    """`chosen_by`: the version; `waits`: the choice is not in Label Studio yet; `off`: why the queue is not steered, ""
    when it is; `roles`: how many tasks of each; `stable`: how much of what it said changed from choice to choice.
    `hunts`: the scarcest of the `hunted` classes; `share`: of the labels that are for them."""

    head: Head
    off: str
    chosen_by: str
    chosen_at: float | None
    waits: bool
    out_of: int
    answered: int
    roles: dict[str, int]
    rows: list[QueueRow]
    place: Place
    handed: str
    bypassed: str
    stable: list[str]
    share: float
    hunted: int
    hunts: list[HuntRow]
    order: HuntForm
    run: RunView | None
    files: FilesView | None
    teacher: TeacherView | None


def view_queue(services: Services, project: int, asked: Mapping[str, str]) -> QueueView:
    """Of a known project. `asked`: a `page`, and `control` and `label` of a class that is to be hunted."""
    answer = describe_project(services, project)
    queue, stores = answer["queue"], services.stores
    plan = stores.task_queue.plan(project) if queue else {}
    written = stores.task_queue.state(project).get("at", 0.0)
    entries, answered = _entries(services, project, plan)
    shown, place = cut_page(entries, asked)
    texts = stores.projects.documents(project, [entry["task"] for entry in shown])
    handed = queue.get("handed")
    labels, of_queue = (handed["labels"], handed["of_queue"]) if handed else (0, 0)
    hunting = describe_hunts(services.settings, stores, project)
    return QueueView(
        head=view_head(services, project, answer),
        off=_why_off(queue),
        chosen_by=plan.get("live", ""),
        chosen_at=plan.get("at"),
        waits=bool(plan) and plan["at"] > written and not queue.get("off"),
        out_of=plan.get("open", 0),
        answered=answered,
        roles=dict(Counter(ROLES[entry["role"]] for entry in entries)),
        rows=[_row(entry, place.first + index, texts.get(entry["task"])) for index, entry in enumerate(shown)],
        place=place,
        handed=describe_handed(labels, of_queue) if labels else "",
        bypassed=BYPASSED if is_bypassed(labels, of_queue) and not queue.get("off") else "",
        stable=[_say_stable(one["n"], one["changed"]) for one in queue.get("agreements", [])[-1:]],
        share=hunting["share"],
        hunted=hunting["hunted_classes"],
        hunts=[_hunt(own) for own in hunting["hunts"]],
        order=describe_form(stores, project, asked),
        run=find_run(services, project),
        files=find_files(services, project),
        teacher=view_teacher(services, project),
    )


def _entries(services: Services, project: int, plan: QueuePlan) -> tuple[list[PlannedTask], int]:
    """Those that nobody has answered, in the order in which Label Studio hands them out; and how many were answered.

    A task with a cluster of its own goes first (model/acquisition/batch.py)."""
    entries = plan.get("entries", [])
    done = services.stores.examples.answered(project, [entry["task"] for entry in entries])
    left = [entry for entry in entries if entry["task"] not in done]
    return sorted(left, key=lambda entry: (entry["cluster"] is None, entry["score"])), len(entries) - len(left)


def _row(entry: PlannedTask, place: int, document: Document | None) -> QueueRow:
    text = " · ".join(str(part) for part in (document or {}).values())
    shown = text if len(text) <= TEXT_CHARACTERS else f"{text[: TEXT_CHARACTERS - 1]}…"
    hunted = f": {plain_text(entry['hunted'][1])}" if "hunted" in entry else ""
    return QueueRow(place, entry["task"], ROLES[entry["role"]] + hunted, entry["score"], shown)


def _hunt(own: HuntState) -> HuntRow:
    hunted = "" if own["state"] in OVER else json.dumps([own["control"], own["label"]])
    figures = own["labels"], own["wanted"], own["asked"], own["found"], own.get("matches")
    return HuntRow(own["control"], own["label"], *figures, own["state"], hunted)


def describe_form(
    stores: Stores, project: int, given: Mapping[str, str] | None = None, errors: Mapping[str, str] | None = None
) -> HuntForm:
    """The form with what was `given`, and what is wrong with it."""
    values = {"count": str(HUNTED)} | {name: text for name in FIELDS if (text := (given or {}).get(name, ""))}
    return HuntForm(hunted_controls(stores, project), dict.fromkeys(FIELDS, "") | values, dict(errors or {}))


def _why_off(queue: QueueAnswer) -> str:
    if not queue:
        return "nothing was chosen yet, or Label Studio is not connected (LABEL_STUDIO_URL), or QUEUE_ENABLED is off"
    return queue.get("off", "")


def _say_stable(n: int, changed: int) -> str:
    return f"{format_percent(1 - changed / n if n else 1)} of its answers were those of the choice before"


def find_run(services: Services, project: int, *, over: bool = True) -> RunView | None:
    """The newest run; None before the first, and without `over` for one that is over."""
    try:
        run = view_run(describe_prediction(services.stores, project))
    except NotFound:
        return None
    return run if over or not run.over else None


def view_run(found: RunAnswer) -> RunView:
    """Messages quote what programs say, so that secrets are taken out."""
    refused = []
    for own in found["refused"]:
        tasks = ", ".join(map(str, own["tasks"][:TASKS_SHOWN]))
        refused.append(f"{own['count']} refused by Label Studio: {own['words']} (such as tasks {tasks})")
    return RunView(
        id=found["id"],
        status=found["status"],
        over=found["status"] in FINAL_STATES,
        by=found["by"],
        asked_at=found["asked_at"],
        ended_at=found["ended_at"],
        step=found["step"],
        of=found["of"],
        seconds_left=found["seconds_left"],
        written=found["written"],
        present=found["present"],
        declined=found["declined"],
        dropped=found["dropped"],
        reasons=[hide_secrets(line) for line in (*found.get("reasons", []), *refused)],
        error=hide_secrets(found["error"]),
        message=hide_secrets(found["message"]),
    )


def find_files(services: Services, project: int) -> FilesView | None:
    """The newest run over files; None before the first."""
    try:
        found = describe_files(services.stores, project)
    except NotFound:
        return None
    return FilesView(
        id=found["id"],
        status=found["status"],
        over=found["status"] in FINAL_STATES,
        by=found["by"],
        source=found["source"],
        output=found["output"],
        version=str(found["version"]),
        asked_at=found["asked_at"],
        ended_at=found["ended_at"],
        step=found["step"],
        of=found["of"],
        kept=found["kept"],
        errors=found["errors"],
        rate=found["rate"],
        seconds_left=found["seconds_left"],
        shards=found["shards"]["all"],
        shards_over=found["shards"]["over"],
        workers=found["workers"],
        error=hide_secrets(found["error"]),
        message=hide_secrets(str(found["message"])),
    )
