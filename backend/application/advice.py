"""When to stop, what may be accepted unseen, and how much annotators copy: worked out on demand from the evidence.

Only numpy and scipy are needed, so that the web process can say it; what was worked out is kept until there is news.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from backend.admin_json import Advice, ControlAdvice, Forecast, Stability
from backend.errors import BadRequest
from backend.record_json import PlanAgreement
from backend.rules.notice.enough import forecast_accuracy, stages_of_f1
from backend.store.evidence import PastSurvey, Survey
from backend.store.stores import Stores
from model.evidence.row import EvidenceRow
from model.spec import Json, JsonObject

if TYPE_CHECKING:
    from model.evidence.auto_accept import CarriedJson, DialJson
    from model.evidence.forecast import Forecast as Curve
    from model.evidence.pool_accuracy import PoolSummary

ACCURACY_GAINS = (0.01, 0.02, 0.05)
ACCURACY_TARGETS = (0.9, 0.95, 0.98)
MOST_CLASSES = 10
"""Scarce classes that are named, the scarcest first."""

MOST_TASKS = 5_000_000
"""Of one dial: 40 MB."""


class Advisor:
    """Keeps each project's last advice, for as long as evidence, survey and counts stay as they are."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[object, Advice]] = {}
        self._lock = threading.Lock()

    def advise(self, stores: Stores, project: int) -> Advice:
        """`controls`: control -> forecast, classes, dial and copying, each only where something can be said; and
        `stability`: agreement of consecutive plans."""
        rows, surveys = stores.evidence.rows(project), stores.evidence.surveys(project)
        survey, counts = stores.evidence.survey(project), stores.projects.summary(project).get("labels", {})
        agreements = stores.task_queue.state(project).get("agreements") or []
        state = (len(rows), rows[-1].at if rows else None, len(surveys), survey, counts, agreements)
        with self._lock:
            known = self._kept.get(project)
        if known is not None and known[0] == state:
            return known[1]
        names = sorted({*(row.control for row in rows), *counts})
        controls = {name: advise_control(name, rows, surveys, survey, counts.get(name, {})) for name in names}
        advice: Advice = {"controls": controls, "stability": describe_stability(agreements)}
        with self._lock:
            self._kept[project] = state, advice
        return advice


def advise_control(
    name: str, rows: Sequence[EvidenceRow], surveys: Sequence[PastSurvey], survey: Survey, counts: Mapping[str, int]
) -> ControlAdvice:
    """What can be said of one control."""
    from model.evidence.anchoring_bias import estimate_anchoring
    from model.evidence.forecast import needs_of_classes

    pools: Mapping[str, PoolSummary] = survey.get("controls") or {}
    pool = pools.get(name) or {}
    needs = list(needs_of_classes(counts).items())
    found: ControlAdvice = {
        "forecast": _to_json(forecast_accuracy(name, rows, surveys)),
        "classes": dict(needs[:MOST_CLASSES]),
        "scarce": len(needs),
        "dial": turn_dials(rows, name, pool, int(survey.get("labels", 0))) if pool.get("n") else [],
        "copying": estimate_anchoring([row for row in rows if row.control == name]),
    }
    if (f1 := _forecast_f1(name, rows, surveys)) is not None:
        found["forecast_f1"] = f1
    return found


def turn_dial(rows: Sequence[EvidenceRow], name: str, labels: int, pool: Sequence[float], target: float) -> DialJson:
    """The auto-accept dial of one control, for confidences of the live version."""
    from model.evidence.auto_accept import choose_rows, find_threshold

    tests = choose_rows(rows, name, labels)
    told, right = [row.confidence for row in tests], [row.correct for row in tests]
    return find_threshold(told, right, pool, target).to_json()


def dial_from_body(stores: Stores, project: int, body: JsonObject) -> DialJson:
    """The dial for `accuracy` and the pool given as `confidences` (confidence -> how many). Raises BadRequest."""
    import numpy as np

    target, given, name = body.get("accuracy"), body.get("confidences"), body.get("control")
    if not isinstance(target, float) or not 0.5 <= target < 1:
        raise BadRequest("accuracy: a number from 0.5 to below 1 is needed", field="accuracy")
    if not isinstance(given, Mapping) or not isinstance(name, str):
        raise BadRequest("confidences: an object, and control: a name, are needed", field="confidences")
    try:
        sizes = [int(count) for count in given.values() if isinstance(count, int | float | str)]
        if len(sizes) < len(given):
            raise TypeError("a count is no number")
        if not 0 <= sum(sizes) <= MOST_TASKS:
            raise ValueError(f"more than {MOST_TASKS} tasks")
        pool = np.nan_to_num(np.repeat([float(key) for key in given], sizes))
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRequest("confidences: numbers and how many of each are needed", field="confidences") from error
    summary = stores.projects.summary(project)
    known = summary.get("labels") or {}
    labels = (summary.get("samples") or {}).get(name, sum(known.get(name, {}).values()))
    dial = turn_dial(stores.evidence.rows(project), name, labels, pool.tolist(), target)
    if (carried := body.get("carried_over")) is not None:
        dial["carried_over"] = _judge_carried(stores, project, name, carried, target)
    return dial


def _judge_carried(stores: Stores, project: int, name: str, counts: Json, target: float) -> dict[str, CarriedJson]:
    """Answers carried over from duplicates, by their kind. Raises BadRequest and StoreUnavailable."""
    from model.duplicates.labelled import count_comparisons
    from model.evidence.auto_accept import judge_carried

    wanted = (
        {kind: count for kind, count in counts.items() if type(count) is int} if isinstance(counts, Mapping) else {}
    )
    known = wanted.keys() <= {"exact", "near"} and all(0 <= count <= MOST_TASKS for count in wanted.values())
    if not isinstance(counts, Mapping) or len(wanted) < len(counts) or not known:
        raise BadRequest('carried_over: {"exact": how many, "near": how many} is needed', field="carried_over")
    facts = stores.labelled_texts.facts(project)
    own = next((one for one in facts.controls if one.name == name), None) if facts is not None else None
    found: dict[str, CarriedJson] = {}
    for kind, count in wanted.items():
        tests, errors, near = 0, 0, kind == "near"
        if own is not None:
            tests, errors = count_comparisons(*own.seen(near=near), near=near)
        found[kind] = judge_carried(tests, errors, count, target)
    return found


def describe_stability(agreements: Sequence[PlanAgreement]) -> Stability | None:
    """The last agreements and whether they say that nothing changes any more; None before the second plan."""
    from model.evidence.stability import are_settled

    if not agreements:
        return None
    kappas = [float(found["kappa"]) for found in agreements]
    last = agreements[-1]
    return {"kappas": kappas, "changed": last["changed"], "n": last["n"], "settled": are_settled(kappas)}


def _forecast_f1(name: str, rows: Sequence[EvidenceRow], surveys: Sequence[PastSurvey]) -> Forecast | None:
    """Where what is expected runs ahead of what comes, the level alone."""
    from model.evidence.forecast import fit_forecast, runs_ahead

    stages = stages_of_f1(name, rows, surveys)
    found = _to_json(fit_forecast(stages))
    return {**found, "gains": [], "cannot_tell": True} if found is not None and runs_ahead(stages) else found


def _to_json(found: Curve | None) -> Forecast | None:
    if found is None:
        return None
    return {
        "labels": round(found.labels),
        "accuracy": round(found.level, 4),
        "sd": round(found.level_sd, 4),
        "gains": [found.labels_to(gain) for gain in ACCURACY_GAINS],
    }


def turn_dials(
    rows: Sequence[EvidenceRow],
    name: str,
    pool: PoolSummary,
    labels: int,
    targets: Sequence[float] = ACCURACY_TARGETS,
) -> list[DialJson]:
    """The dial of one control for each of these accuracies, over a surveyed pool."""
    from model.evidence.pool_accuracy import pool_confidences

    confidences = pool["shown"] if "shown" in pool else pool_confidences(pool).tolist()
    return [turn_dial(rows, name, labels, confidences, target) for target in targets]
