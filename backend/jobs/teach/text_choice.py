"""Which texts a teacher is asked about: of every sort, from those whose features are at hand. Runs in the learner."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from backend.jobs.context import Context, context
from backend.labelstudio.label_display import spec_of
from backend.outcomes import FINAL_STATES, JobOutcome
from backend.teacher.prompt import asked_of, questions_key
from model.spec import Document, TaskSpec
from model.texts import text_key

log = logging.getLogger(__name__)


def choose_texts(project: int, run: str) -> str:
    """Chooses, and hands the run on; how it ended. (RQ calls this.)"""
    work, project = context(), int(project)
    record = work.stores.teachings.find(project)
    if record is None or record["id"] != run or record["status"] in FINAL_STATES or record["tasks"] is not None:
        return JobOutcome.OVER
    spec = spec_of(work.stores.projects.config(project))
    pool = work.stores.projects.pool(project)
    if spec is None or not asked_of(spec) or not pool:
        why = "the label config asks nothing that a teacher can be asked" if pool else "there is no unlabelled text"
        work.stores.teachings.finish(project, run, JobOutcome.FAILED, why)
        return JobOutcome.FAILED
    tasks = _choose(work, project, spec, pool, record["texts"])
    asks = questions_key(spec, work.settings.teacher_model)
    if work.stores.teachings.change(project, run, {"tasks": tasks, "asks": asks, "status": "running"}):
        work.stores.teachings.send(project, {**record, "tasks": tasks})
    return JobOutcome.PLANNED


def _choose(work: Context, project: int, spec: TaskSpec, pool: Mapping[int, Document], count: int) -> list[int]:
    """Task ids. Of the texts that a refit reads: others would teach nothing."""
    read = {_text(document) for document in work.pools.read(work.stores, work.encoders.base, project)}
    near = sorted((task for task, document in pool.items() if _text(document) in read), key=_spread)
    unique = list({_text(pool[task]): task for task in reversed(near)}.values())[::-1]
    if len(unique) <= count or not spec.controls:
        return unique[:count]
    return [unique[row] for row in _diverse(work, spec, [pool[task] for task in unique], count)]


def _diverse(work: Context, spec: TaskSpec, documents: Sequence[Document], count: int) -> list[int]:
    """Rows: typical ones of as many clusters as there can be."""
    from model.acquisition.strategies import choose
    from model.acquisition.uncertainty import Pool
    from model.features.long_texts import LabelAwarePooling

    control = spec.controls[0]
    reader = LabelAwarePooling(work.encoders.base, control)
    rows = [row for row, document in enumerate(documents) if all(name in document for name in control.inputs)]
    features = reader.embed([control.text_of(documents[row]) for row in rows])[:, -1]
    even = np.full((len(rows), 2), 0.5)
    chosen = choose("typiclust", Pool(even, features, np.zeros(0, np.int64)), min(count, len(rows)), 0)
    return [rows[place] for place in chosen.tolist()]


def _text(document: Document) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(document.items()))


def _spread(task: int) -> bytes:
    return text_key((str(task),))
