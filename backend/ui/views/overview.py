"""The first tab: is it getting better, what runs, what is due next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from backend.admin_json import ControlAdvice, ControlMetrics, Forecast, ProjectAnswer, QueueAnswer
from backend.application.projects import describe_project
from backend.application.services import Services
from backend.rules.finetune_due import Facts, next_due
from backend.rules.finetune_facts import gather_facts
from backend.ui.formats import format_count, format_percent, pluralise
from backend.ui.views.head import Head, view_head
from backend.ui.views.job import JobView, view_job
from backend.ui.views.queue import RunView, find_run
from backend.ui.views.teacher.view import say_teacher
from model.evidence.learning_curve import CurvePoint

LEAST_ROWS = 40
"""Answers before which no curve is drawn: a point of ten says little."""

DAYS_SHOWN = 30


@dataclass(frozen=True)
class ControlOverview:
    """One control. `accuracy` of its last `n` new labels before they were learned; `expected` on unlabelled tasks.
    `answers`: how many the curve is made of, `wanted` before it is drawn. `f1`, `saved`: of marked text."""

    name: str
    n: int
    accuracy: float
    expected: float | None
    interval: list[float] | None
    unlabelled: int
    f1: float | None
    saved: float | None
    forecast: list[str]
    curve: list[CurvePoint]
    answers: int
    wanted: int


@dataclass(frozen=True)
class OverviewView:
    """`days`: labels by day; `due`: what comes next, in sentences; `verdict`: of the last fine-tune; `queue`: whether
    the task queue steers, and its share of the last labels; `run`: that predicts all tasks, while it goes on."""

    head: Head
    controls: list[ControlOverview]
    days: dict[str, int]
    due: list[str]
    verdict: JobView | None
    queue: list[str]
    run: RunView | None


def view_overview(services: Services, project: int, _: Mapping[str, str]) -> OverviewView:
    """Of a known project."""
    answer = describe_project(services, project)
    advice = services.advisor.advise(services.stores, project)["controls"]
    summary = services.stores.projects.summary(project)
    names = sorted({*answer["curve"], *answer["metrics"], *answer["labels"]})
    ended = [job for job in answer["recent_jobs"] if job.get("ended_at")]
    return OverviewView(
        head=view_head(services, project, answer),
        controls=[_control(name, answer, advice.get(name)) for name in names],
        days=dict(list(summary.get("activity", {}).get("days", {}).items())[-DAYS_SHOWN:]),
        due=[*_due(services, project, answer), *say_teacher(services, project)],
        verdict=view_job(ended[0]) if ended else None,
        queue=_say_queue(answer["queue"]),
        run=find_run(services, project, over=False),
    )


def _control(name: str, answer: ProjectAnswer, advice: ControlAdvice | None) -> ControlOverview:
    found: ControlMetrics | None = answer["metrics"].get(name)
    curve = answer["curve"].get(name, [])
    pool, marked = (found.get("pool"), found.get("marked")) if found else (None, None)
    answers = sum(point["n"] for point in curve)
    return ControlOverview(
        name=name,
        n=found["n"] if found else 0,
        accuracy=found["accuracy"] if found else 0.0,
        expected=pool["accuracy"] if pool else None,
        interval=list(pool["interval"]) if pool else None,
        unlabelled=pool["unlabelled"] if pool else 0,
        f1=marked["f1"] if marked else None,
        saved=marked["saved"] if marked else None,
        forecast=_say_forecasts(advice),
        curve=curve if answers >= LEAST_ROWS else [],
        answers=answers,
        wanted=LEAST_ROWS,
    )


def _say_forecasts(advice: ControlAdvice | None) -> list[str]:
    if advice is None:
        return []
    found = [("points", "labels", advice["forecast"]), ("points of F1", "texts", advice.get("forecast_f1"))]
    return [line for what, unit, forecast in found if forecast for line in say_forecast(forecast, what, unit)]


def say_forecast(forecast: Forecast, what: str, unit: str) -> list[str]:
    """ "about 140 more labels for +1 point (90 to 260)": a sentence a gain."""
    now, lines = int(forecast["labels"]), []
    for gain in forecast["gains"]:
        points = f"+{100 * gain['gain']:.0f} {what if gain['gain'] > 0.015 else what.replace('points', 'point')}"
        low, median, high = gain["low"], gain["median"], gain["high"]
        if median is None or low is None:
            lines.append(f"more than {format_count(gain['beyond'] - now)} {unit} for {points}")
            continue
        upto = format_count(high - now) if high is not None else f"more than {format_count(gain['beyond'] - now)}"
        lines.append(
            f"about {format_count(median - now)} more {unit} for {points} ({format_count(low - now)} to {upto})"
        )
    return lines


def _due(services: Services, project: int, answer: ProjectAnswer) -> list[str]:
    """What learning, fine-tuning and reconciling wait for."""
    lines = []
    if answer["pinned"]:
        lines.append(f"nothing is learned: {answer['pinned']} is pinned by a rollback, until somebody unpins it")
    elif answer["pending"]:
        lines.append(f"{pluralise(answer['pending'], 'change')} not learned yet: the next version comes in seconds")
    pinned = bool(answer["pinned"])
    facts = [gather_facts(services.stores, project, pinned, marked) for marked in (False, True)]
    lines += [say_next(services, found) for found in facts if found.labels] if not answer["job"] else []
    return [line for line in lines if line]


def say_next(services: Services, facts: Facts) -> str:
    """When the encoder is fine-tuned next."""
    if not services.settings.finetune_enabled:
        return "the encoder is fine-tuned only when somebody asks (FINETUNE_ENABLED is off)"
    at = next_due(services.settings, facts)
    if at is None:
        return ""
    what, left = "annotated texts" if facts.marked else "labels", at - facts.labels
    if left <= 0:
        return f"a fine-tune of the encoder is due, with {format_count(facts.labels)} {what}"
    last = facts.trained_labels
    why = f"the last one had {format_count(last)}" if last else "the first one"
    return f"a fine-tune of the encoder with {format_count(at)} {what} ({why}): {format_count(left)} to go"


def _say_queue(queue: QueueAnswer) -> list[str]:
    if not queue:
        return ["the task queue is not steered: Label Studio is not connected, or QUEUE_ENABLED is off"]
    if off := queue.get("off"):
        return [f"not steered, since {off}"]
    if not queue.get("version"):
        return ["not planned yet"]
    lines = [f"{pluralise(queue['tasks'], 'task')} chosen by {queue['live']} out of {format_count(queue['open'])}"]
    handed = queue.get("handed")
    if handed and handed["labels"]:
        share = format_percent(handed["of_queue"] / handed["labels"])
        lines.append(f"{share} of the last {pluralise(handed['labels'], 'label')} came from it")
    return lines
