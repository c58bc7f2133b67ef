"""One /predict from config to answers, for our own server and for label-studio-ml's."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from backend.application.services import Services
from backend.errors import Overloaded, StoreUnavailable
from backend.labelstudio.documents import read_texts
from backend.labelstudio.label_config.assist_controls import Helpers, blind_results, read_helpers
from backend.labelstudio.rejects import Reject, rejects_of_task, rejects_of_text
from backend.labelstudio.spans.config import with_all_task_labels
from backend.labelstudio.spans.interactive import Memory, answer_mark
from backend.labelstudio.spans.page import read_pages
from backend.labelstudio.spans.regions import SentSpan
from backend.labelstudio.task_spec import parse_label_config, span_config_of
from backend.serving.long_texts import read_later
from backend.serving.prediction import Answered, AnswerTools, Item, Question, answer_tasks
from backend.serving.predictors import deadline
from backend.serving.preparations import Preparing
from model.span import ScoredSpan
from model.spec import Json, JsonObject, TaskSpec

if TYPE_CHECKING:
    from model.versions.live_model import LiveModel


def answer_request(
    services: Services,
    project: int | None,
    config: Json,
    tasks: Sequence[Json],
    *,
    say_blind: bool = True,
    whole: bool = False,
) -> tuple[list[Item], str]:
    """(one item per task in order, the version that answered all of them); remembers the tasks as unlabelled texts.

    `say_blind`: where the config has the control for it, a blind task's annotator is told that nothing is shown on
    purpose; else the task is declined. `whole`: long texts are read to their end, whoever waits.

    Raises BadRequest or UnsupportedConfig for the label config, NotReady when models do not serve in time, Overloaded
    when too much waits already."""
    left = deadline(services.settings.predict_deadline)
    spec, helpers = parse_label_config(config), read_helpers(config)
    try:
        with services.admission.enter():
            model = services.registry.model_for(project, spec, left())
            tools = _tools(services, project, helpers)
            answered = answer_tasks(tools, model, Question(spec, helpers), tasks, left, whole=whole)
    except Preparing:
        # Soon there is an answer: Label Studio asks again for declined tasks, and shows a refusal as an error.
        services.metrics.declined.labels("preparing").inc(len(tasks))
        return [[] for _ in tasks], services.registry.version_of(project)
    except Overloaded:
        services.metrics.refused.inc()
        raise
    items, documents = answered.items, answered.documents
    _note_rejects(services, project, spec, tasks, items, documents)
    if answered.unread:
        numbers = [task.get("id") for index in answered.unread if isinstance(task := tasks[index], Mapping)]
        services.background.rejects.note(
            project, "tasks", [(n if isinstance(n, int) else None, UNREAD) for n in numbers]
        )
    if project is not None:
        services.background.add_pool(project, documents)
        if project in services.background.steered:
            told = blind_results(helpers.summary) if helpers.summary and say_blind else []
            instead: Item = {"model_version": model.version, "score": 0.0, "result": told} if told else []
            items = _hide_blind(services, project, tasks, items, instead)
        if spec.spans:
            services.background.note_suggested(project, model.version, _suggested(tasks, items, answered))
    return items, model.version


UNREAD = Reject(
    "unread",
    "have a long text whose end was not read yet when the page asked: there only strings that were marked before are "
    "suggested, until it asks again",
)


def _suggested(tasks: Sequence[Json], items: Sequence[Item], answered: Answered) -> dict[int, Sequence[SentSpan]]:
    """Task id -> the spans that its annotator sees: none of a task whose answer is hidden."""
    found: dict[int, Sequence[SentSpan]] = {}
    for index, (task, item) in enumerate(zip(tasks, items, strict=True)):
        number = task.get("id") if isinstance(task, Mapping) else None
        if item and isinstance(number, int):
            found[number] = answered.suggested.get(index, ()) if item is answered.items[index] else ()
    return found


def _tools(services: Services, project: int | None, helpers: Helpers) -> AnswerTools:
    labelled = services.background.labelled
    return AnswerTools(
        services.settings,
        services.predictors,
        services.metrics,
        services.answers,
        services.highlighter.of(project) if helpers.evidence else None,
        partial(labelled.find, project) if project is not None and labelled.want(project) else None,
    )


def _note_rejects(
    services: Services,
    project: int | None,
    spec: TaskSpec,
    tasks: Sequence[Json],
    items: Sequence[Item],
    documents: Mapping[int, Mapping[str, str]],
) -> None:
    """Why tasks are declined for what they hold, and which are answered for next to nothing."""
    longest = services.settings.max_text_chars
    found: list[tuple[int | None, Reject]] = []
    for task, item in zip(tasks, items, strict=True):
        if not item:
            number, data = (task.get("id"), task.get("data")) if isinstance(task, Mapping) else (None, None)
            named = number if isinstance(number, int) else None
            found += ((named, reject) for reject in rejects_of_task(spec, data, longest))
    for number, document in documents.items():
        for name, text in document.items():
            found += ((number, reject) for reject in rejects_of_text(name, text, longest))
    services.background.rejects.note(project, "tasks", found)


def _hide_blind(
    services: Services, project: int, tasks: Sequence[Json], items: list[Item], instead: Item
) -> list[Item]:
    """The items with `instead` for those of blind tasks, which people are to label without a pre-label."""
    from model.acquisition.batch import is_blind

    share, shown = services.settings.queue_blind_share, list(items)
    for index, task in enumerate(tasks):
        number = task.get("id") if isinstance(task, Mapping) else None
        if isinstance(number, int) and shown[index] and is_blind(project, number, share):
            shown[index] = instead
            services.metrics.declined.labels("blind").inc()
    return shown


log = logging.getLogger(__name__)

SURE = 0.8
"""Probability from which the head's own spans of the marked label join: the page takes what it is sent unasked."""

UNSEEN = 0.95
"""Score of a string's other occurrences: the same characters in the same text."""


def is_mark(spec: TaskSpec, tasks: Sequence[Json], context: Json) -> bool:
    """Whether the page asks because a region was marked (Auto-Annotation), and of which label."""
    result = context.get("result") if isinstance(context, Mapping) else None
    return bool(spec.spans) and len(tasks) == 1 and isinstance(result, list) and bool(result)


def answer_page(
    services: Services, project: int | None, spec: TaskSpec, task: Json, context: Json
) -> tuple[list[Item], str]:
    """(the one item with what is suggested now, the version that answered). Raises NotReady."""
    known: JsonObject = task if isinstance(task, Mapping) else {}
    data, number = known.get("data"), known.get("id")
    left = deadline(services.settings.predict_deadline)
    with services.admission.enter():
        model = services.registry.model_for(project, spec, left())
        likely = _likely(services, model, spec, data)
    config = with_all_task_labels(span_config_of(spec), data)
    pages, _ = read_pages(config, data)
    memory = _remembered(services, project, number)
    now = time.time()
    marked = _marked_labels(context)
    result, after = answer_mark(
        config,
        pages,
        context,
        memory,
        now=now,
        score=UNSEEN,
        avoid=[one.span for spans in likely.values() for one in spans if one.label not in marked],
        also={name: [one for one in spans if one.score >= SURE] for name, spans in likely.items()},
    )
    if project is not None and isinstance(number, int) and after != memory:
        with suppress(StoreUnavailable):  # then what is removed now may be suggested once more
            services.stores.suggestions.keep_memory(project, number, after)
    services.metrics.predictions.inc()
    return [{"model_version": model.version, "score": UNSEEN, "result": result}], model.version


def _likely(services: Services, model: LiveModel, spec: TaskSpec, data: Json) -> dict[str, tuple[ScoredSpan, ...]]:
    """Control -> what the head would show."""
    texts, _ = read_texts(spec, data, services.settings.max_text_chars)
    if model.unread([texts]):
        read_later(model, [texts], services.predictors)
    return {
        control.name: model.mark(control.name, [texts])[0].spans
        for control in spec.spans
        if all(name in texts for name in control.inputs) and control.name in model.span_heads
    }


def _remembered(services: Services, project: int | None, task: Json) -> Memory:
    if project is None or not isinstance(task, int):
        return Memory()
    try:
        return services.stores.suggestions.memory(project, task)
    except StoreUnavailable:
        return Memory()


def _marked_labels(context: Json) -> set[str]:
    """Labels of the regions in the context, under whatever key of the value they lie."""
    result = context.get("result") if isinstance(context, Mapping) else None
    found: set[str] = set()
    for item in result if isinstance(result, list) else ():
        value = item.get("value") if isinstance(item, Mapping) else None
        for labels in value.values() if isinstance(value, Mapping) else ():
            found |= {label for label in labels if isinstance(label, str)} if isinstance(labels, list) else set()
    return found
