"""Chooses the next batch of a project's queue with the version that answers now. Runs in the learner, whose encoder is
warm; the sync worker writes it to Label Studio."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from backend.jobs.attempt import attempt
from backend.jobs.context import Context, context
from backend.labelstudio.label_config.assist_controls import blind_results, read_helpers
from backend.labelstudio.results import to_prediction
from backend.outcomes import JobOutcome
from backend.store.projects import ProjectStore
from backend.store.task_queue import PlannedRegion, PlannedRelation, PlannedTask, QueuePlan
from model.region import ScoredRelation
from model.span import ScoredSpan
from model.spec import Json

if TYPE_CHECKING:
    from backend.jobs.task_queue.hunts import Hunting
    from backend.jobs.task_queue.pool_view import PoolView
    from backend.record_json import PlanAgreement
    from backend.store.duplicates.tables import LabelledTable
    from model.acquisition.batch import QueueEntry
    from model.versions.live_model import LiveModel

AGREEMENTS_KEPT = 10
"""Agreements of consecutive plans that are kept: whether the answers still change."""


def plan(project: int) -> str:
    """One plan; its outcome: planned, no version, nothing to choose, failed, or that it waits. (RQ calls this.)"""
    work, project = context(), int(project)
    try:
        outcome = attempt(work.stores.failures, project, "plan", lambda: _plan(work, project))
    finally:
        work.stores.task_queue.end(project, "plan")
    if outcome == JobOutcome.PLANNED and _was_ordered_meanwhile(work, project):
        work.stores.task_queue.enqueue_plan(project)
    return outcome


def _was_ordered_meanwhile(work: Context, project: int) -> bool:
    """Whether a hunt was ordered after the plan had read the orders: who ordered it found a plan asked for already."""
    store = work.stores.task_queue
    return sorted(order["at"] for order in store.orders(project)) != sorted(store.plan(project).get("orders", []))


def _plan(work: Context, project: int) -> str:
    from backend.jobs.task_queue.hunts import describe_hunts, find_hunts
    from backend.jobs.task_queue.pool_view import PoolScorer
    from backend.jobs.task_queue.repeats import find_repeats
    from model.acquisition.batch import plan_batch

    settings, stores = work.settings, work.stores
    live = stores.versions.live(project)
    if live is None:
        return JobOutcome.NO_VERSION
    model, answers = work.live_model(project, live), stores.examples.answers(project)
    scorer = PoolScorer(stores.projects, stores.jobs, project, model)
    view = scorer.score(stores.examples.touched(project), members=settings.queue_strategy == "bald")
    if view is None:
        return JobOutcome.NOTHING_TO_CHOOSE
    table = work.labelled.read(project)
    hunting = find_hunts(work, project, model, view)
    repeats, alike = find_repeats(model.spec, view.documents, table)
    places = plan_batch(
        view.pools,
        view.tasks,
        view.confidence,
        project=project,
        strategy=settings.queue_strategy,
        size=settings.queue_size,
        blind_share=settings.queue_blind_share,
        explore_share=settings.queue_explore_share,
        avoid=stores.task_queue.passed(project),
        seed=settings.seed + answers,
        in_order=_goes_by_order(model),
        repeats=repeats,
        alike=alike,
        hunts=hunting.hunts,
        hunted=hunting.places,
    )
    told = {place.task: own for place in places if (own := hunting.of(place)) is not None}
    stores.task_queue.note_hunted(project, told)
    facts: QueuePlan = {
        "at": time.time(),
        "live": live,
        "answers": answers,
        "rows": len(view.tasks),
        "unread": view.unread,
        "open": len(view.tasks) - len(view.pools[0].labelled),
        "agreements": _agree(work, project, view),
        "hunts": describe_hunts(model, hunting),
        "hunted_classes": len(hunting.classes),
        "orders": [order["at"] for order in hunting.orders.values()],
        "seq": hunting.seq,
        "entries": _entries(model, view, places, _told(stores.projects, project), hunting, table),
    }
    stores.task_queue.save_plan(project, facts)
    stores.task_queue.enqueue_steer(project)
    return JobOutcome.PLANNED


def _entries(
    model: LiveModel,
    view: PoolView,
    places: list[QueueEntry],
    told: list[dict[str, Json]],
    hunting: Hunting,
    table: LabelledTable | None,
) -> list[PlannedTask]:
    """What is written to Label Studio: of a blind task `told` and the least score, else what /predict would say.

    A blind task says nothing, so that there is no confidence to show. A link to the label stream goes by the score
    alone: with the model's it would bring the unsure ones only, and the sample would not be one of all tasks."""
    from model.decoding.answers import carry_over_all

    items = model.predict([view.documents[place.row] for place in places])
    entries: list[PlannedTask] = []
    for place, predictions in zip(places, items, strict=True):
        if table is not None and (known := table.find(place.task, model.spec, view.documents[place.row])):
            predictions = carry_over_all(model.spec, predictions, known)
        item = to_prediction(model.spec, predictions, model.version)
        is_blind = place.role == "blind"
        marked = [] if is_blind else [one for one in predictions if one.spans]
        ordered = place.role == "chosen" and _goes_by_order(model)
        score = item["score"] if predictions and not ordered else place.confidence
        entries.append(
            {
                "task": place.task,
                "role": place.role,
                "cluster": place.cluster,
                "result": told if is_blind else item["result"],
                "score": 0.0 if is_blind else score,
                "spans": {one.control: [_span_json(span) for span in one.spans] for one in marked},
            }
        )
        if (own := hunting.of(place)) is not None:
            entries[-1]["hunted"] = own["control"], own["key"]
        if relations := [_relation_json(relation) for one in marked for relation in one.relations]:
            entries[-1]["relations"] = relations
    return entries


def _goes_by_order(model: LiveModel) -> bool:
    """Whether chosen tasks come in the order of their choice. Where text is marked the least sure are the longest, not
    those worth most; and a choice is the answer's own confidence."""
    return bool(model.spec.spans) and not model.spec.controls


def _span_json(span: ScoredSpan) -> PlannedRegion:
    """The page's unit comes later, when the task itself is at hand."""
    own = span.start, span.end, span.label, span.score, span.reason
    return (*own, [(one.control, one.chosen, one.score) for one in span.answers]) if span.answers else own


def _relation_json(scored: ScoredRelation) -> PlannedRelation:
    own = scored.relation
    ends = [(end.control, end.start, end.end, end.label) for end in (own.source, own.target)]
    return ends[0], ends[1], own.labels, own.both_ways, scored.score


def _told(projects: ProjectStore, project: int) -> list[dict[str, Json]]:
    """What the annotator of a blind task reads, where the label config has the control for it."""
    helper = read_helpers(projects.config(project) or "<View/>").summary
    return blind_results(helper) if helper else []


def _agree(work: Context, project: int, view: PoolView) -> list[PlanAgreement]:
    """The agreements of consecutive plans' answers to the same unlabelled tasks, this one's last."""
    from model.evidence.stability import compare_answers

    path = work.settings.pools_dir / str(project) / "answers.json"
    labelled = {int(row) for row in view.pools[0].labelled}
    now = {
        str(task): said
        for row, (task, said) in enumerate(zip(view.tasks, view.answers, strict=True))
        if row not in labelled
    }
    before = _read_answers(path)
    shared = [task for task in now if task in before]
    earlier = list(work.stores.task_queue.state(project).get("agreements") or [])
    if shared:
        found = compare_answers([before[task] for task in shared], [now[task] for task in shared])
        earlier.append({**found, "at": round(time.time(), 1)})
    _write_answers(path, now)
    return earlier[-AGREEMENTS_KEPT:]


def _read_answers(path: Path) -> Mapping[str, str]:
    import orjson

    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}  # the first plan, or a crash: there is nothing to compare with
    return found if isinstance(found, dict) else {}


def _write_answers(path: Path, answers: Mapping[str, str]) -> None:
    import orjson

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_bytes(orjson.dumps(dict(answers)))
    temporary.replace(path)
