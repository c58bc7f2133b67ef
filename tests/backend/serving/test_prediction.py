"""A /predict that does not get done: what is answered by then comes back, also when every text is long."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, ClassVar

from backend.labelstudio.task_spec import parse_label_config
from backend.serving.answer_cache import AnswerCache
from backend.serving.prediction import AnswerTools, Question, answer_tasks
from backend.serving.predictors import Predictors, deadline
from backend.settings.settings import Settings
from backend.telemetry.metrics import Metrics
from model.spec import Document
from model.versions.live_model import LiveModel, cold_start
from tests.support.encoders import WordsEncoder
from tests.support.rig import choices_config

CONFIG = choices_config(["refund", "delivery"])
LONG = "please send my refund back to me now " * 300


class Stuck(LiveModel):
    """Answers as usual, but is never done with texts that say so."""

    def predict(self, documents: Sequence[Document], options: Any = None) -> Any:
        if any("STUCK" in document["text"] for document in documents):
            threading.Event().wait(30)
        return super().predict(documents, options)


def answer(model: LiveModel, tasks: list[Any], cache: AnswerCache, metrics: Metrics, seconds: float = 30.0) -> Any:
    predictors = Predictors(1, metrics)
    tools = AnswerTools(Settings(), predictors, metrics, cache)
    items = answer_tasks(tools, model, Question(model.spec), tasks, deadline(seconds)).items
    predictors.stop()
    return items


def test_one_long_text_that_takes_too_long_costs_no_other_its_answer() -> None:
    spec = parse_label_config(CONFIG)
    usual = cold_start(spec, WordsEncoder())
    model = Stuck(usual.version, spec, usual.heads, usual.base)
    tasks = [{"id": 1, "data": {"text": LONG}}, {"id": 2, "data": {"text": LONG + "STUCK"}}]
    metrics = Metrics()
    items = answer(model, tasks, AnswerCache(1 << 20), metrics, 2)
    assert isinstance(items[0], dict) and items[0]["result"], "done in time"
    assert items[1] == [], "declined, to be asked for again"
    assert metrics.registry.get_sample_value("understudy_predictions_declined_total", {"reason": "deadline"}) == 1


class Counting(LiveModel):
    """Counts the texts that it is asked about."""

    asked: ClassVar[list[str]] = []

    def predict(self, documents: Sequence[Document], options: Any = None) -> Any:
        self.asked.extend(document["text"] for document in documents)
        if any("BROKEN" in document["text"] for document in documents):
            raise ValueError("broken")
        return super().predict(documents, options)


def counting() -> Counting:
    usual = cold_start(parse_label_config(CONFIG), WordsEncoder())
    Counting.asked.clear()
    return Counting(usual.version, usual.spec, usual.heads, usual.base)


def test_a_task_that_was_answered_is_answered_again_without_the_model() -> None:
    model, cache, metrics = counting(), AnswerCache(1 << 20), Metrics()
    tasks = [{"id": 1, "data": {"text": "my refund"}}, {"id": 2, "data": {"text": "late delivery"}}]
    first = answer(model, tasks, cache, metrics)
    again = answer(model, [*tasks, {"id": 3, "data": {"text": "other"}}], cache, metrics)
    assert again[:2] == first and all(again)
    assert sorted(model.asked) == ["late delivery", "my refund", "other"]
    assert (cache.hits, cache.misses) == (2, 3)


def test_another_model_answers_for_itself() -> None:
    cache, metrics = AnswerCache(1 << 20), Metrics()
    tasks = [{"id": 1, "data": {"text": "my refund"}}]
    one, other = counting(), counting()
    answer(one, tasks, cache, metrics)
    answer(other, tasks, cache, metrics)
    assert other.asked == ["my refund", "my refund"], "both of them"


def test_a_task_that_breaks_the_model_costs_its_neighbours_nothing_and_is_not_remembered() -> None:
    model, cache, metrics = counting(), AnswerCache(1 << 20), Metrics()
    tasks = [{"id": 1, "data": {"text": "my refund"}}, {"id": 2, "data": {"text": "BROKEN"}}]
    items = answer(model, tasks, cache, metrics)
    assert items[0]["result"] and items[1] == []
    assert len(cache) == 1
    assert metrics.registry.get_sample_value("understudy_predictions_declined_total", {"reason": "error"}) == 1


def test_every_stage_is_measured() -> None:
    metrics = Metrics()
    answer(counting(), [{"id": 1, "data": {"text": "my refund"}}], AnswerCache(1 << 20), metrics)
    for stage in ("read", "queue", "compute"):
        assert metrics.registry.get_sample_value("understudy_stage_seconds_count", {"stage": stage}) == 1, stage
    assert metrics.registry.get_sample_value("understudy_chunk_texts_sum") == 1
