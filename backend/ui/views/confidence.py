"""The third tab: whether confidences mean what they say, what may be accepted unseen, how much is copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.admin_json import ControlAdvice
from backend.application.advice import turn_dials
from backend.application.services import Services
from backend.labelstudio.label_display import spec_of
from backend.rules.recent_answers import RECENT_ROWS
from backend.store.evidence import Survey
from backend.ui.views.head import Head, view_head
from model.evidence.report.classes import present_rows
from model.evidence.report.reliability import Reliability, measure_reliability
from model.evidence.row import EvidenceRow
from model.spec import Control, Kind

if TYPE_CHECKING:
    from model.evidence.anchoring_bias import Anchoring
    from model.evidence.auto_accept import DialJson

LEAST_ANSWERS = 40
"""Answers before which nothing is said of their confidence: of fewer the calibration error is mostly chance."""

TARGETS = (*(percent / 100 for percent in range(80, 100)), 0.995)
"""Accuracies of the slider."""

FIRST_TARGET = 0.95
"""Where it stands at first, or at the highest one below that anything can be accepted for."""


@dataclass(frozen=True)
class ControlConfidence:
    """One control. `answers`: how many are told of, `wanted` before anything is; `marked`: they are shown spans.

    `steps`: what each accuracy of the slider allows, `first` the one it stands at; `pool`: tasks that the version
    `surveyed` was asked about. `copying`: how often wrong pre-labels are accepted, `tellable` when its interval is
    narrow enough; it takes `blind` and `shown` answers of `blind_wanted` and `shown_wanted`."""

    name: str
    marked: bool
    answers: int
    wanted: int
    reliability: Reliability | None
    steps: list[DialJson]
    first: int
    pool: int
    surveyed: str
    copying: Anchoring | None
    tellable: bool
    blind: int
    blind_wanted: int
    shown: int
    shown_wanted: int


@dataclass(frozen=True)
class ConfidenceView:
    """`alone`: there is one control, so that `understudy accept` may be used."""

    head: Head
    controls: list[ControlConfidence]
    alone: bool


def view_confidence(services: Services, project: int, _: Mapping[str, str]) -> ConfidenceView:
    """Of a known project."""
    stores = services.stores
    spec, rows = spec_of(stores.projects.config(project)), stores.evidence.rows(project)
    survey, advice = stores.evidence.survey(project), services.advisor.advise(stores, project)["controls"]
    samples = stores.projects.summary(project).get("samples", {})
    controls = spec.questions if spec else ()
    return ConfidenceView(
        head=view_head(services, project),
        controls=[_describe(one, rows, survey, samples.get(one.name, 0), advice.get(one.name)) for one in controls],
        alone=len(controls) == 1,
    )


def _describe(
    control: Control, rows: Sequence[EvidenceRow], survey: Survey, labels: int, advice: ControlAdvice | None
) -> ControlConfidence:
    from model.evidence.anchoring_bias import LEAST_BLIND, LEAST_SHOWN, is_tellable

    name, mine = control.name, [row for row in rows if row.control == control.name]
    answers = judge_answers(control, mine, labels)
    found = measure_reliability([sure for sure, _ in answers], [right for _, right in answers])
    pool = (survey.get("controls") or {}).get(name) or {}
    blind = sum(row.blind for row in mine)
    copying = advice["copying"] if advice else None
    steps = turn_dials(rows, name, pool, int(survey.get("labels", 0)), TARGETS) if pool.get("n") else []
    return ControlConfidence(
        name=name,
        marked=control.kind is Kind.SPANS,
        answers=len(answers),
        wanted=LEAST_ANSWERS,
        reliability=found if len(answers) >= LEAST_ANSWERS else None,
        steps=steps,
        first=_first_step(steps),
        pool=len(pool["shown"]) if "shown" in pool else int(pool.get("n", 0)),
        surveyed=str(survey.get("version", "")),
        copying=copying,
        tellable=copying is not None and is_tellable(copying),
        blind=blind,
        blind_wanted=LEAST_BLIND,
        shown=len(mine) - blind,
        shown_wanted=LEAST_SHOWN,
    )


def _first_step(steps: Sequence[DialJson]) -> int:
    wanted = TARGETS.index(FIRST_TARGET)
    proven = [place for place, step in enumerate(steps[: wanted + 1]) if step["threshold"] is not None]
    return proven[-1] if proven else wanted


def judge_answers(control: Control, rows: Sequence[EvidenceRow], labels: int) -> list[tuple[float, bool]]:
    """How sure each was, and whether it was right: answers by versions that knew half of today's `labels`; of marked
    text each span shown in the last texts, as `status` takes them."""
    if control.kind is Kind.SPANS:
        marked = [row.marked for row in rows[-RECENT_ROWS:] if row.marked is not None]
        return [(score, right) for own in marked for _, score, right in own.shown]
    return [(row.confidence, row.correct) for row in present_rows(rows, control.name, labels)]
