"""How good a version is: answers before their labels were learned, the curve, calibration, confusion, and the gate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backend.admin_json import ControlMetrics
from backend.export.facts.markdown import cell, table
from backend.labelstudio.label_display import texts_of
from model.evidence.gate import VerdictJson
from model.evidence.learning_curve import CurvePoint
from model.evidence.report.cells import form_of, mistakes_of
from model.evidence.report.reliability import measure_reliability
from model.evidence.row import EvidenceRow
from model.spec import Control, TaskSpec

LEAST_ROWS = 40
"""Answers before which nothing is said of calibration: of fewer it is mostly chance."""

MISTAKES_SHOWN = 10


def say_accuracy(recent: ControlMetrics | None) -> Iterator[str]:
    if recent is None:
        yield "Not known: nobody has labelled a text that it had answered before."
        return
    yield f"{recent['accuracy']:.1%} of its last {recent['n']} labels were answered right before they were learned."
    if pool := recent.get("pool"):
        low, high = pool["interval"]
        yield f"On texts without a label {pool['accuracy']:.1%} are expected ({low:.1%} to {high:.1%})."


def say_curve(points: Sequence[CurvePoint]) -> list[str]:
    """Accuracy by the labels that were known."""
    rows = (
        (
            point["labels"],
            point["n"],
            f"{point['accuracy']:.1%}",
            f"{point['interval'][0]:.0%} to {point['interval'][1]:.0%}",
            f"{point['log_loss']:.3f}",
        )
        for point in points
    )
    return table(("labels known", "answers", "right", "95 % interval", "log-loss"), rows)


def say_calibration(rows: Sequence[EvidenceRow]) -> list[str]:
    """Whether scores mean what they say, in bins."""
    if len(rows) < LEAST_ROWS:
        return [f"Not known yet: {len(rows)} of {LEAST_ROWS} answers."]
    found = measure_reliability([row.confidence for row in rows], [row.correct for row in rows])
    bins = (
        (f"{one.low:.2f} to {one.high:.2f}", one.n, f"{one.confidence:.2f}", f"{one.right:.2f}") for one in found.bins
    )
    return [
        f"Expected calibration error {found.error:.3f} over {found.n} answers before their labels were learned.",
        "",
        *table(("score", "answers", "mean score", "right"), bins),
    ]


def say_confusion(spec: TaskSpec, control: Control, rows: Sequence[EvidenceRow]) -> list[str]:
    """The mistakes that were made most."""
    told = [row for row in rows if row.task]
    if not told:
        return ["Not known yet."]
    found = mistakes_of(told, form_of(control, told))[:MISTAKES_SHOWN]
    names = texts_of(spec, control.name, [key for one, _ in found for key in (one.given, one.said)])
    pairs = ((names.get(one.given) or "nothing", names.get(one.said) or "nothing", count) for one, count in found)
    return table(("people said", "it had said", "answers"), pairs) or ["No mistake is recorded."]


def say_gate(version: str, verdict: VerdictJson | None) -> Iterator[str]:
    """Of the newest fine-tune that was compared with a champion."""
    if verdict is None:
        yield "No fine-tune was compared with the version before it: the head alone was refitted."
        return
    evidence = verdict["evidence"]
    outcome = "was published" if verdict["accepted"] else "was refused"
    yield f"The newest fine-tune ({version}) {outcome}: {cell(verdict['reason'])}."
    if (change := evidence.get("log_loss_change")) is not None and (interval := evidence.get("interval")):
        yield (
            f"On {evidence['n']} answers that neither had learned the log-loss changed by {change:+.3f} "
            f"({interval[0]:+.3f} to {interval[1]:+.3f})."
        )
