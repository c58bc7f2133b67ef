"""Interactive marking: a string was marked in the page, and its other occurrences are suggested at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from backend.application.services import Services
from backend.errors import StoreUnavailable
from backend.labelstudio.documents import read_texts
from backend.labelstudio.spans.config import with_all_task_labels
from backend.labelstudio.spans.interactive import Memory, answer_mark
from backend.labelstudio.spans.page import read_pages
from backend.labelstudio.task_spec import span_config_of
from backend.serving.prediction import Item
from backend.serving.predictors import deadline
from model.span import ScoredSpan
from model.spec import Json, JsonObject, TaskSpec

if TYPE_CHECKING:
    from model.versions.live_model import LiveModel

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
        likely = _likely(model, spec, data, services.settings.max_text_chars)
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


def _likely(model: LiveModel, spec: TaskSpec, data: Json, longest: int) -> dict[str, tuple[ScoredSpan, ...]]:
    """Control -> what the head would show."""
    texts, _ = read_texts(spec, data, longest)
    return {
        control.name: model.mark(control.name, [texts])[0].spans
        for control in spec.spans
        if control.inputs[0] in texts and control.name in model.span_heads
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
