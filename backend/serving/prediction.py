"""Answers the tasks of one /predict: one item per task, in order, `[]` for a task that cannot be decided."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from backend.labelstudio.documents import Undecidable, read_document
from backend.labelstudio.results import to_prediction
from backend.metrics import Metrics
from backend.serving.predictors import Predictors
from backend.settings import Settings
from model.spec import TaskSpec

if TYPE_CHECKING:
    from model.live import LiveModel

log = logging.getLogger(__name__)

CHUNK = 16
"""Tasks computed at a time: large enough for the matrix products, small enough for others to come in between."""

Item = dict[str, Any] | list[Any]
Row = tuple[int, dict[str, str], dict[str, list[str]]]


def answer_tasks(
    model: LiveModel,
    spec: TaskSpec,
    tasks: Sequence[Any],
    *,
    settings: Settings,
    predictors: Predictors,
    metrics: Metrics,
    left: Callable[[], float],
) -> tuple[list[Item], dict[int, dict[str, str]]]:
    """(one item per task, task id -> document of the readable ones). What is not done when time is up is declined."""
    items: list[Item] = [[] for _ in tasks]
    rows: list[Row] = []
    documents: dict[int, dict[str, str]] = {}
    for index, task in enumerate(tasks):
        try:
            data = task.get("data") if isinstance(task, Mapping) else None
            document, options = read_document(spec, data, settings.max_text_chars)
        except Undecidable as reason:
            metrics.declined.labels("unreadable").inc()
            log.debug("task declined: %s", reason.reason)
            continue
        rows.append((index, document, options))
        if isinstance(task.get("id"), int) and not task.get("annotations"):
            documents[task["id"]] = document
    # Texts of like length share a chunk, so that none waits for a longer one in its batch.
    rows.sort(key=lambda row: sum(map(len, row[1].values())))
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    in_time = predictors.run([_chunk(model, spec, chunk, items, settings, metrics) for chunk in chunks], left())
    if not in_time:
        late = sum(not items[index] for index, _, _ in rows)
        metrics.declined.labels("deadline").inc(late)
        log.warning("deadline: %s of %s tasks declined", late, len(tasks))
    return list(items), documents


def _chunk(
    model: LiveModel, spec: TaskSpec, rows: Sequence[Row], items: list[Item], settings: Settings, metrics: Metrics
) -> Callable[[], None]:
    def compute() -> None:
        try:
            _answer(model, spec, rows, items, settings, metrics)
        except Exception:
            log.exception("a chunk failed; its tasks are tried one by one")
            for row in rows:
                try:
                    _answer(model, spec, [row], items, settings, metrics)
                except Exception:
                    metrics.declined.labels("error").inc()
                    log.exception("task declined")

    return compute


def _answer(
    model: LiveModel, spec: TaskSpec, rows: Sequence[Row], items: list[Item], settings: Settings, metrics: Metrics
) -> None:
    answers = model.predict([document for _, document, _ in rows], [options for _, _, options in rows])
    for (index, _, _), predictions in zip(rows, answers, strict=True):
        item = to_prediction(spec, predictions, model.version)
        if not predictions or item["score"] < settings.abstain_below:
            metrics.declined.labels("unsure").inc()
            continue
        items[index] = item
        metrics.predictions.inc()
