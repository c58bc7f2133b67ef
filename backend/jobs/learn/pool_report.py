"""Looks for duplicates and outliers in a project's pool, when nobody waits for the learner."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from backend.errors import BackendError
from backend.jobs.context import Context
from backend.jobs.learn.label_errors import excerpt
from backend.labelstudio.task_spec import parse_label_config
from backend.record_json import PoolReport, PoolRow
from model.features.cache import held_by
from model.spec import Document, TaskSpec, Text
from model.texts import duplicate_keys, text_key

if TYPE_CHECKING:
    from backend.store.duplicates.tables import LabelledTable
    from model.duplicates.pool import PoolFinding

GROWTH = 1.1
"""Of pool or labels, from which it is looked again."""

MOST_TASKS = 100_000
"""Tasks of the pool that are looked at: about two seconds."""

MOST_COMPARED = 4000
"""Texts that are compared with each other: half a second."""

ROWS_KEPT = 200
"""Of each kind."""


def report_pool(work: Context, project: int) -> bool:
    """Whether a report was made. Raises StoreUnavailable."""
    stores = work.stores
    pool, seq = stores.projects.pool_size(project), stores.examples.seq(project)
    if not pool or stores.jobs.is_learner_wanted() or not _is_due(stores.pool_reports.read(project), pool, seq):
        return False
    try:
        spec = parse_label_config(stores.projects.config(project))
    except BackendError:
        return False
    documents = stores.projects.pool(project)
    tasks = sorted(documents, key=lambda task: text_key((str(task),)))[:MOST_TASKS]
    done = stores.examples.touched(project)
    report = _report(work, spec, {task: documents[task] for task in tasks}, done, work.labelled.read(project))
    stores.pool_reports.save(project, {**report, "seq": seq, "pool": pool})
    return True


def _is_due(last: PoolReport | None, pool: int, seq: int) -> bool:
    return last is None or not last["pool"] <= pool < GROWTH * last["pool"] or seq >= GROWTH * last["seq"] + 1


def _report(
    work: Context, spec: TaskSpec, documents: Mapping[int, Document], done: set[int], table: LabelledTable | None
) -> PoolReport:
    from model.duplicates.pool import count_findings, find_duplicates, find_far, find_odd

    names = tuple(dict.fromkeys(name for control in spec.questions for name in control.inputs))
    read = {task: tuple(own[name] for name in names if name in own) for task, own in documents.items()}
    tasks = sorted((task for task, text in read.items() if text), key=lambda task: (task not in done, task))
    texts = [read[task] for task in tasks]
    rows = [row for row, held in enumerate(held_by(work.encoders.base, texts)) if held and tasks[row] not in done]
    rows = rows[:MOST_COMPARED]
    features = work.encoders.base.embed([texts[row] for row in rows])[:, -1] if rows else np.zeros((0, 1))
    found = [*find_duplicates(names, texts), *find_far(features, rows), *find_odd(texts)]
    open_ones = [one for one in found if tasks[one.row] not in done]
    known = sum(task not in done and _is_labelled(table, spec, documents[task]) for task in tasks)
    return {
        "at": round(time.time(), 3),
        "seq": 0,
        "pool": 0,
        "tasks": len(tasks),
        "compared": len(rows),
        "labelled": known,
        "counts": {str(kind): count for kind, count in count_findings(open_ones).items()},
        "rows": _rows(open_ones, tasks, texts),
    }


def _is_labelled(table: LabelledTable | None, spec: TaskSpec, document: Document) -> bool:
    """Whether an exact duplicate has a label."""
    if table is None:
        return False
    inputs = {control.inputs for control in spec.controls if all(name in document for name in control.inputs)}
    return any(table.get(duplicate_keys(own, tuple(document[name] for name in own))[0]) for own in inputs)


def _rows(found: Sequence[PoolFinding], tasks: Sequence[int], texts: Sequence[Text]) -> list[PoolRow]:
    kept: dict[str, list[PoolRow]] = {}
    for one in found:
        rows = kept.setdefault(one.kind, [])
        if len(rows) == ROWS_KEPT:
            continue
        row: PoolRow = {"kind": one.kind, "task": tasks[one.row], "text": excerpt(texts[one.row])}
        if one.like >= 0:
            row["like"] = tasks[one.like]
        if one.value:
            row["value"] = one.value
        if one.about:
            row["about"] = one.about
        rows.append(row)
    return [row for rows in kept.values() for row in rows]
