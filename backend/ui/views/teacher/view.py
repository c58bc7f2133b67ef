"""The teacher on the page: what a run would send and cost before it begins, then what it did."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from backend.addresses.host import is_loopback
from backend.application.services import Services
from backend.application.teacher.teach import describe_teacher, estimate
from backend.errors import BadRequest, Conflict
from backend.outcomes import FINAL_STATES
from backend.record_json import TeacherAnswer, TeacherCost, TeacherRun
from backend.redaction import hide_secrets

SAMPLED_TEXTS = 40
"""From which the cost is estimated: a page is made anew with each label."""


@dataclass(frozen=True)
class TeacherView:
    """`host`: "" where nobody is asked. `leaves`: whether that is another machine. `over`: of `run`, the last one;
    `left_out`: controls whose labels speak against what it said. `cost`: of a new run, None while one runs, or where
    none can begin, as `why` says."""

    host: str
    model: str
    leaves: bool
    run: TeacherRun | None
    over: bool
    left_out: list[str]
    cost: TeacherCost | None
    why: str


def view_teacher(services: Services, project: int) -> TeacherView | None:
    """Of a known project; None where nobody is asked, and nobody was."""
    settings, stores = services.settings, services.stores
    answer = describe_teacher(stores, settings, project)
    run = answer["run"]
    if not settings.teacher_url and run is None:
        return None
    over = run is None or run["status"] in FINAL_STATES
    cost, why = _estimate(services, project) if over else (None, "")
    return TeacherView(
        host=answer["host"],
        model=answer["model"],
        leaves=not is_loopback(urlsplit(settings.teacher_url).hostname or ""),
        run=_hidden(run),
        over=over,
        left_out=_left_out(answer),
        cost=cost,
        why=why,
    )


def say_teacher(services: Services, project: int) -> list[str]:
    """A sentence while it is asked."""
    run = describe_teacher(services.stores, services.settings, project)["run"]
    if run is None or run["status"] in FINAL_STATES:
        return []
    return [f"a teacher is asked about unlabelled texts: {run['step']} of {run['of']}"]


def _estimate(services: Services, project: int) -> tuple[TeacherCost | None, str]:
    try:
        return estimate(services.stores, services.settings, project, 0, SAMPLED_TEXTS), ""
    except (BadRequest, Conflict) as error:
        return None, error.message


def _hidden(run: TeacherRun | None) -> TeacherRun | None:
    return None if run is None else {**run, "message": hide_secrets(run["message"])}


def _left_out(answer: TeacherAnswer) -> list[str]:
    return [name for name, kept in answer.get("kept", {}).items() if not kept]
