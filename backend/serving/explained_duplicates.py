"""Which labelled task an answer is carried over from, for whoever asks why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backend.explained_json import CarriedOver
from backend.store.duplicates.labelled_texts import LabelledTextStore
from backend.store.duplicates.tables import LabelledTables
from model.spec import Document, Prediction, TaskSpec


def describe_carried_over(
    tables: LabelledTables,
    store: LabelledTextStore,
    project: int,
    task: int,
    spec: TaskSpec,
    document: Document,
    predictions: Sequence[Prediction],
    options: Mapping[str, Sequence[str]],
) -> dict[str, CarriedOver]:
    """By control, what /predict answers to the task with instead of the version's own `predictions`. Raises
    StoreUnavailable."""
    from model.decoding.answers import carry_over_all

    table = tables.table(project) if tables.want(project) else None
    known = table.find(task, spec, document) if table is not None else {}
    if table is None or not known:
        return {}
    own = {one.control: one for one in predictions}
    found: dict[str, CarriedOver] = {}
    for one in carry_over_all(spec, predictions, known, options):
        control = spec.control(one.control)
        if one.control not in known or one == own.get(one.control):
            continue
        traced = table.trace(control, document)
        if traced is None:
            continue
        key, near = traced
        found[one.control] = {
            "labels": [control.show(label) for label in one.chosen],
            "score": one.score,
            "task": store.task_of(project, key, table.facts.places[one.control]),
            "near": near,
            "agreement": known[one.control].agreement,
        }
    return found
