"""Answers the tasks of one /predict: one item per task, in order, `[]` for a task that cannot be decided."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backend.labelstudio.documents import Undecidable, is_shown_as_read, read_document
from backend.labelstudio.helpers import NO_HELPERS, Helper, Helpers, explained_answer, summary_results
from backend.labelstudio.results import to_prediction
from backend.metrics import Metrics
from backend.serving.highlights import Wanted, Words, highlight, seconds_for
from backend.serving.predictors import Predictors
from backend.settings import Settings
from model.portions import characters_of, portions
from model.spec import Prediction, TaskSpec

if TYPE_CHECKING:
    from model.live import LiveModel

log = logging.getLogger(__name__)

Item = dict[str, Any] | list[Any]
Row = tuple[int, dict[str, str], dict[str, list[str]]]


@dataclass(frozen=True)
class _Request:
    """What the chunks of one request share; they write `items` and `answers`, each at its own tasks."""

    model: LiveModel
    spec: TaskSpec
    helpers: Helpers
    settings: Settings
    metrics: Metrics
    items: list[Item]
    answers: dict[int, list[Prediction]] = field(default_factory=dict)


def answer_tasks(
    model: LiveModel,
    spec: TaskSpec,
    tasks: Sequence[Any],
    *,
    settings: Settings,
    predictors: Predictors,
    metrics: Metrics,
    left: Callable[[], float],
    helpers: Helpers = NO_HELPERS,
    highlighter: Callable[[LiveModel, Wanted], Words] | None = None,
) -> tuple[list[Item], dict[int, dict[str, str]]]:
    """(one item per task, task id -> document of the readable ones). What is not done when time is up is declined.

    With an `evidence` control in the config, `highlighter` explains answers in what time is left after all of them."""
    request = _Request(model, spec, helpers, settings, metrics, [[] for _ in tasks])
    rows, documents = _read(request, tasks)
    # Texts of like length share a chunk, so that none waits for a longer one in its batch.
    rows.sort(key=_length)
    in_time = predictors.run([_chunk(request, chunk) for chunk in portions(rows, _length)], left())
    items = list(request.items)  # a chunk that is late may still write into the original
    if not in_time:
        late = sum(not items[index] for index, _, _ in rows)
        metrics.declined.labels("deadline").inc(late)
        log.warning("deadline: %s of %s tasks declined", late, len(tasks))
    if helpers.evidence and highlighter:
        wanted = _wanted(request, helpers.evidence, rows, items, tasks)
        seconds = seconds_for(len(tasks), left())
        regions = highlight(
            model,
            helpers.evidence,
            wanted,
            explain=highlighter,
            predictors=predictors,
            metrics=metrics,
            seconds=seconds,
        )
        items = [_with_results(item, regions.get(index, [])) for index, item in enumerate(items)]
    return items, documents


def _read(request: _Request, tasks: Sequence[Any]) -> tuple[list[Row], dict[int, dict[str, str]]]:
    """The readable tasks, and the documents of those that nobody has annotated."""
    rows: list[Row] = []
    documents: dict[int, dict[str, str]] = {}
    for index, task in enumerate(tasks):
        try:
            data = task.get("data") if isinstance(task, Mapping) else None
            document, options = read_document(request.spec, data, request.settings.max_text_chars)
        except Undecidable as reason:
            request.metrics.declined.labels("unreadable").inc()
            log.debug("task declined: %s", reason.reason)
            continue
        rows.append((index, document, options))
        if isinstance(task.get("id"), int) and not task.get("annotations"):
            documents[task["id"]] = document
    return rows, documents


def _length(row: Row) -> int:
    return characters_of(tuple(row[1].values()))


def _chunk(request: _Request, rows: Sequence[Row]) -> Callable[[], None]:
    def compute() -> None:
        try:
            _answer(request, rows)
        except Exception:
            log.exception("a chunk failed; its tasks are tried one by one")
            for row in rows:
                try:
                    _answer(request, [row])
                except Exception:
                    request.metrics.declined.labels("error").inc()
                    log.exception("task declined")

    return compute


def _answer(request: _Request, rows: Sequence[Row]) -> None:
    model, spec, summary = request.model, request.spec, request.helpers.summary
    answers = model.predict([document for _, document, _ in rows], [options for _, _, options in rows])
    for (index, _, _), predictions in zip(rows, answers, strict=True):
        item = to_prediction(spec, predictions, model.version)
        if not predictions or item["score"] < request.settings.abstain_below:
            request.metrics.declined.labels("unsure").inc()
            continue
        request.answers[index] = predictions
        request.items[index] = _with_results(item, summary_results(summary, spec, predictions) if summary else [])
        request.metrics.predictions.inc()


def _wanted(
    request: _Request, helper: Helper, rows: Sequence[Row], items: Sequence[Item], tasks: Sequence[Any]
) -> list[Wanted]:
    """The answers whose words can be highlighted, in the order of the tasks."""
    shown = {item.name: item for item in request.spec.inputs}.get(helper.to_name)
    wanted: list[Wanted] = []
    for index, document, options in sorted(rows, key=lambda row: row[0]):
        answer = explained_answer(helper, request.spec, request.answers.get(index, [])) if items[index] else None
        if answer is not None and shown is not None and is_shown_as_read(shown, tasks[index]["data"]):
            wanted.append(Wanted(index, document, answer, options.get(answer.control)))
    return wanted


def _with_results(item: Item, more: Sequence[dict[str, Any]]) -> Item:
    return {**item, "result": [*item["result"], *more]} if isinstance(item, dict) and more else item
