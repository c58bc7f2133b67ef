"""Rows of evidence as tasks that a person can open: what was given, what was answered, how its text begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backend.application.label_errors import shorten
from backend.application.services import Services
from backend.labelstudio.label_display import texts_of
from backend.ui.views.head import tasks_url
from model.evidence.report.cells import Cell, Form, cells_of, form_of, kind_of_mistake
from model.evidence.row import EvidenceRow
from model.spec import Control, TaskSpec


@dataclass(frozen=True)
class TaskRow:
    """A tested task: what was `given` and `said` in words, of marked text what is wrong with it, by which version, how
    sure it was (`at`: epoch seconds). `text`: its beginning, "" where the task is gone; `link`: into Label Studio, ""
    where that is not known. `blind`: it was shown without a pre-label; `anchor`: the same for the row on every page."""

    task: int
    control: str
    anchor: str
    given: list[str]
    said: list[str]
    version: str
    mistakes: list[str]
    confidence: float
    at: float | None
    blind: bool
    text: str
    link: str


def task_link(services: Services, project: int, task: int) -> str:
    """Where Label Studio shows the task; "" where its address is not known."""
    base = tasks_url(services.settings.label_studio_url, project)
    return f"{base}?task={task}" if base and task else ""


def describe_rows(
    services: Services, project: int, spec: TaskSpec, control: Control, rows: Sequence[EvidenceRow]
) -> list[TaskRow]:
    """A page of rows of one control: a round trip or two each."""
    keys = [key for row in rows for key in (*row.given, *row.said)]
    form = form_of(control, rows)
    names, place = texts_of(spec, control.name, keys), spec.questions.index(control)
    return [
        TaskRow(
            task=row.task,
            control=control.name,
            anchor=f"row-{place}-{row.task}",
            given=[names[key] for key in row.given] if row.marked is None else _summed(row.marked.drawn),
            said=[names[key] for key in row.said]
            if row.marked is None
            else _summed(own for own, *_ in row.marked.shown),
            mistakes=_mistakes(row, form),
            version=row.version,
            confidence=row.confidence,
            at=row.at,
            blind=row.blind,
            text=begin_of_text(services, project, control, row.task),
            link=task_link(services, project, row.task),
        )
        for row in rows
    ]


def _mistakes(row: EvidenceRow, form: Form) -> list[str]:
    """What is wrong with the spans of a marked text."""
    if form is not Form.SPANS:
        return []
    return [
        f"{kind_of_mistake(cell, form)}: {' as '.join(filter(None, _labels(cell)))}" for cell in cells_of(row, form)
    ]


def _labels(cell: Cell) -> tuple[str, ...]:
    return (cell.given,) if cell.given == cell.said else (cell.given, cell.said)


def _summed(labels: Iterable[str]) -> list[str]:
    """Of spans: each label with how many there are."""
    return [f"{count} {label}" for label, count in Counter(labels).items()]


def begin_of_text(services: Services, project: int, control: Control, task: int) -> str:
    """How the texts of a labelled task begin; "" for one that is gone."""
    for record in reversed(services.stores.examples.of_task(project, task)):
        if parts := [record.texts[name] for name in control.inputs if name in record.texts]:
            return shorten(" / ".join(parts))
    return ""
