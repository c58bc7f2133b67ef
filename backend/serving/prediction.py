"""Answers the tasks of one /predict: one item per task, in order, `[]` for a task that cannot be decided."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backend.errors import Undecidable
from backend.labelstudio.documents import is_shown_as_read, read_document
from backend.labelstudio.label_config.assist_controls import (
    NO_HELPERS,
    Helper,
    Helpers,
    explained_answer,
    summary_results,
)
from backend.labelstudio.results import PredictionJson, to_prediction
from backend.labelstudio.span_answers import with_spans
from backend.labelstudio.spans.regions import SentSpan
from backend.serving.answer_cache import AnswerCache, answer_key
from backend.serving.highlights import HighlightRequest, Words, highlight, seconds_for
from backend.serving.long_texts import read_all, read_later
from backend.serving.predictors import SMALL_REQUEST_ROWS, Chunk, Predictors
from backend.settings.settings import Settings
from backend.telemetry.metrics import Metrics
from model.labels import LabelledAnswer
from model.spec import Document, Json, JsonObject, Prediction, TaskSpec
from model.texts import bounds_for, characters_of, portions

if TYPE_CHECKING:
    from model.versions.live_model import LiveModel

log = logging.getLogger(__name__)

Item = PredictionJson | list[Json]
"""The answer to a task; `[]` where there is none."""


@dataclass(frozen=True, eq=False)
class AnswerTools:
    """What this process answers with. `highlighter` explains answers; None where nothing is explained. `labelled`: of a
    task id and its texts, what people answered to duplicates; None where there are none."""

    settings: Settings
    predictors: Predictors
    metrics: Metrics
    cache: AnswerCache
    highlighter: Callable[[LiveModel, HighlightRequest], Words] | None = None
    labelled: Callable[[int | None, TaskSpec, Document], Mapping[str, LabelledAnswer]] | None = None


@dataclass(frozen=True)
class Question:
    """What a label config asks, and the controls it has for what is said along with the answers."""

    spec: TaskSpec
    helpers: Helpers = NO_HELPERS


@dataclass(frozen=True)
class Answered:
    """One item per task; task id -> document of the readable ones; place of a task -> spans that were suggested;
    `unread`: places of tasks whose long texts were not read to their end."""

    items: list[Item]
    documents: dict[int, dict[str, str]]
    suggested: Mapping[int, Sequence[SentSpan]]
    unread: Collection[int] = ()


@dataclass(frozen=True, eq=False)
class _Request:
    """What the rows of one request share; threads write `items` and `answers`, each at its own tasks."""

    model: LiveModel
    spec: TaskSpec
    helpers: Helpers
    settings: Settings
    metrics: Metrics
    items: list[Item]
    tasks: Sequence[Json]
    answers: dict[int, list[Prediction]] = field(default_factory=dict)
    labelled: dict[int, tuple[Mapping[str, LabelledAnswer], Mapping[str, Sequence[str]]]] = field(default_factory=dict)
    """Place of a task whose duplicates are labelled -> what people answered to them, and the choices that it lists."""
    suggested: dict[int, Sequence[SentSpan]] = field(default_factory=dict)
    """Place of a task -> the spans that it is answered with."""
    unread: set[int] = field(default_factory=set)
    """Places of tasks that are answered before their texts are read to the end."""

    def take(self, index: int, predictions: list[Prediction]) -> None:
        """The answers to the task at `index`."""
        taken: list[bool] = []
        if index in self.labelled:
            from model.decoding.answers import carry_over_all

            own, (known, options) = predictions, self.labelled[index]
            predictions = carry_over_all(self.spec, own, known, options)
            taken = [known[one.control].near for one in predictions if one.control in known and one not in own]
            self.metrics.carried_over.inc()
        item = to_prediction(self.spec, predictions, self.model.version)
        if taken:
            item["carried_over"] = "near" if any(taken) else "exact"
        if not predictions or item["score"] < self.settings.abstain_below:
            self.metrics.declined.labels("unsure").inc()
            return
        if self.spec.spans:
            item = self._with_spans(index, predictions, item)
        summary = self.helpers.summary
        self.answers[index] = predictions
        self.items[index] = _with_results(item, summary_results(summary, self.spec, predictions) if summary else [])
        self.metrics.predictions.inc()

    def _with_spans(self, index: int, predictions: Sequence[Prediction], item: PredictionJson) -> PredictionJson:
        task = self.tasks[index]
        known: JsonObject = task if isinstance(task, Mapping) else {}
        result, sent, dropped = with_spans(
            self.spec, known.get("data"), predictions, self.model.version, item["result"]
        )
        for reason, count in dropped.items():
            self.metrics.dropped_regions.labels(reason).inc(count)
            log.error("a region that would harm the page was dropped: %s, %s of them", reason, count)
        self.suggested[index] = sent
        return {**item, "result": result}


@dataclass(frozen=True, eq=False)
class _Row:
    """One readable task. `key` names its answers in the cache of answers."""

    request: _Request
    index: int
    document: dict[str, str]
    options: dict[str, list[str]]
    key: bytes

    @property
    def length(self) -> int:
        return characters_of(tuple(self.document.values()))


def answer_tasks(
    tools: AnswerTools,
    model: LiveModel,
    question: Question,
    tasks: Sequence[Json],
    left: Callable[[], float],
    *,
    whole: bool = False,
) -> Answered:
    """The answers. What is not done when time is up is declined. `whole`: long texts are read to their end however few
    the tasks are.

    With an `evidence` control in the config, the highlighter explains answers in what time is left after all of them.
    Raises Overloaded when so much waits that none of it would be done in time."""
    helpers, metrics, predictors, cache = question.helpers, tools.metrics, tools.predictors, tools.cache
    request = _Request(model, question.spec, helpers, tools.settings, metrics, [[] for _ in tasks], tasks)
    with metrics.stage.labels("read").time():
        rows, documents = _read(request, tasks)
        if tools.labelled is not None:
            _look_up(request, rows, tools.labelled)
        unknown = _recall(rows, cache)
    # Texts of like length share a chunk, so that none waits for a longer one in its batch.
    unknown.sort(key=lambda row: row.length)
    if unknown and len(unknown) == len(rows):  # else there is something to give, whatever becomes of the rest
        predictors.check_room(len(unknown), left())
    unread = [row.document for row in unknown if model.unread([row.document])]
    if unread and (whole or len(rows) > SMALL_REQUEST_ROWS):
        read_all(model, unread, predictors, left())
    texts, characters = bounds_for(model.base)
    parts = portions(unknown, lambda row: row.length, texts=texts, characters=characters)
    in_time = predictors.run([_chunk(model, part, cache) for part in parts], left())
    if unread:
        read_later(model, unread, predictors)
    items = list(request.items)  # a chunk that is late may still write into the original
    if not in_time:
        late = sum(not items[row.index] for row in unknown)
        metrics.declined.labels("deadline").inc(late)
        log.warning("deadline: %s of %s tasks declined", late, len(tasks))
    if helpers.evidence and tools.highlighter:
        wanted = _wanted(request, helpers.evidence, rows, items, tasks)
        seconds = seconds_for(len(tasks), left())
        regions = highlight(
            model,
            helpers.evidence,
            wanted,
            explain=tools.highlighter,
            predictors=predictors,
            metrics=metrics,
            seconds=seconds,
        )
        items = [_with_results(item, regions.get(index, [])) for index, item in enumerate(items)]
    metrics.unread_texts.inc(len(request.unread))
    return Answered(items, documents, dict(request.suggested), frozenset(request.unread))


def _read(request: _Request, tasks: Sequence[Json]) -> tuple[list[_Row], dict[int, dict[str, str]]]:
    """The readable tasks, and the documents of those that nobody has annotated."""
    rows: list[_Row] = []
    documents: dict[int, dict[str, str]] = {}
    for index, task in enumerate(tasks):
        known: JsonObject = task if isinstance(task, Mapping) else {}
        try:
            document, options = read_document(request.spec, known.get("data"), request.settings.max_text_chars)
        except Undecidable as reason:
            request.metrics.declined.labels("unreadable").inc()
            log.debug("task declined: %s", reason.reason)
            continue
        rows.append(_Row(request, index, document, options, answer_key(request.model.serial, document, options)))
        if isinstance(number := known.get("id"), int) and not known.get("annotations"):
            documents[number] = document
    return rows, documents


def _look_up(
    request: _Request,
    rows: Sequence[_Row],
    labelled: Callable[[int | None, TaskSpec, Document], Mapping[str, LabelledAnswer]],
) -> None:
    """Which of the tasks have duplicates that are labelled."""
    for row in rows:
        task = request.tasks[row.index]
        number = task.get("id") if isinstance(task, Mapping) else None
        if known := labelled(number if isinstance(number, int) else None, request.spec, row.document):
            request.labelled[row.index] = known, row.options


def _recall(rows: Sequence[_Row], cache: AnswerCache) -> list[_Row]:
    """Answers what this model has answered before; the rest."""
    unknown = []
    for row in rows:
        known = cache.get(row.key)
        if known is None:
            unknown.append(row)
        else:
            row.request.take(row.index, known)
    return unknown


def _chunk(model: LiveModel, rows: Sequence[_Row], cache: AnswerCache) -> Chunk:
    def compute(rows: Sequence[_Row]) -> None:
        try:
            _answer(model, rows, cache)
        except Exception:
            log.exception("a chunk failed; its tasks are tried one by one")
            for row in rows:
                try:
                    _answer(model, [row], cache)
                except Exception:
                    row.request.metrics.declined.labels("error").inc()
                    log.exception("task declined")

    return Chunk(compute, rows, model.serial, sum(row.length for row in rows), bounds_for(model.base))


def _answer(model: LiveModel, rows: Sequence[_Row], cache: AnswerCache) -> None:
    """Answers rows of any number of requests that this model answers."""
    before = [bool(model.unread([row.document])) for row in rows]
    answers = model.predict([row.document for row in rows], [row.options for row in rows])
    for row, predictions, unread in zip(rows, answers, before, strict=True):
        if not unread:
            cache.put(row.key, predictions)
        elif model.unread([row.document]):
            row.request.unread.add(row.index)
        row.request.take(row.index, predictions)


def _wanted(
    request: _Request, helper: Helper, rows: Sequence[_Row], items: Sequence[Item], tasks: Sequence[Json]
) -> list[HighlightRequest]:
    """The answers whose words can be highlighted, in the order of the tasks."""
    shown = {item.name: item for item in request.spec.inputs}.get(helper.to_name)
    wanted: list[HighlightRequest] = []
    for row in sorted(rows, key=lambda row: row.index):
        answered = request.answers.get(row.index, []) if items[row.index] else []
        answer = explained_answer(helper, request.spec, answered)
        task = tasks[row.index]
        if answer is None or shown is None or not isinstance(task, Mapping):
            continue
        if is_shown_as_read(shown, task["data"]):
            wanted.append(HighlightRequest(row.index, row.document, answer, row.options.get(answer.control)))
    return wanted


def _with_results(item: Item, more: Sequence[dict[str, Json]]) -> Item:
    if isinstance(item, list) or not more:
        return item
    return {**item, "result": [*item["result"], *more]}
