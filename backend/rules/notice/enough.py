"""How good each control's answers to unlabelled tasks are by now, and whether that is what somebody wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.store.evidence import PastSurvey
from model.evidence.row import EvidenceRow

if TYPE_CHECKING:
    from model.evidence.forecast import Forecast, Stage, SurveyMean

SURE = 1.28
"""Standard deviations below the estimate that must still do: right nine times in ten."""


@dataclass(frozen=True)
class Level:
    """What to expect of unlabelled tasks, its lower bound, and with how many labels. `measure`: accuracy, or F1 of
    marked spans."""

    control: str
    measure: str
    level: float
    low: float
    labels: int


def find_levels(rows: Sequence[EvidenceRow], surveys: Sequence[PastSurvey]) -> list[Level]:
    """One a control of the last survey, where anything can be said."""
    found = []
    for control, pool in (surveys[-1]["controls"] if surveys else {}).items():
        is_marked = "f1" in pool
        curve = forecast_f1(control, rows, surveys) if is_marked else forecast_accuracy(control, rows, surveys)
        if curve is not None:
            low = curve.level - SURE * curve.level_sd
            measure = "F1" if is_marked else "accuracy"
            found.append(Level(control, measure, round(curve.level, 3), round(low, 3), round(curve.labels)))
    return found


def forecast_accuracy(control: str, rows: Sequence[EvidenceRow], surveys: Sequence[PastSurvey]) -> Forecast | None:
    """Of the pool; None with too little to go by."""
    from model.evidence.forecast import fit_forecast, stages_of

    return fit_forecast(stages_of(means_of(control, surveys, "mean"), rows, control))


def forecast_f1(control: str, rows: Sequence[EvidenceRow], surveys: Sequence[PastSurvey]) -> Forecast | None:
    """The same of spans, unless what is expected runs ahead of what comes."""
    from model.evidence.forecast import fit_forecast, runs_ahead

    stages = stages_of_f1(control, rows, surveys)
    return None if runs_ahead(stages) else fit_forecast(stages)


def stages_of_f1(control: str, rows: Sequence[EvidenceRow], surveys: Sequence[PastSurvey]) -> list[Stage]:
    """What was expected of marked spans, survey by survey, and what came."""
    from model.evidence.forecast import f1_stages_of

    return f1_stages_of(means_of(control, surveys, "f1"), rows, control)


def means_of(control: str, surveys: Sequence[PastSurvey], measure: str) -> list[SurveyMean]:
    """Those of one control, by rising labels."""
    found: list[SurveyMean] = []
    for survey in surveys:
        pool = survey["controls"].get(control)
        if pool and pool["n"] and measure in pool:
            value = pool["f1"] if measure == "f1" else pool["mean"]
            found.append({"labels": survey["labels"], "confidence": value})
    return sorted(found, key=lambda item: item["labels"])
