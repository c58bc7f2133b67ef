"""Long texts that are marked: nobody waits for their end, nobody else waits for them, and in the end all is read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.labelstudio.task_spec import parse_label_config
from backend.serving.answer_cache import AnswerCache
from backend.serving.prediction import Answered, AnswerTools, Question, answer_tasks
from backend.serving.predictors import IDLE_CHUNKS, Chunk, Predictors, alone, deadline
from backend.settings.settings import Settings
from backend.telemetry.metrics import Metrics
from model.encoder.encoder import Encoder, find_base_model
from model.features.cache import CachedEncoder, FeatureCache
from model.features.varied_cache import VariedCache
from model.spans.features.reading import SpanReader
from model.spans.transfer.prior import read_prior
from model.versions.live_model import LiveModel, cold_start
from model.versions.span_answers import SpanTools
from tests.support.marking import MARKS

LONG = " ".join(f"On day {number} Ann Miller left Oslo, said Bob." for number in range(600))


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    return Encoder(find_base_model())


@pytest.fixture
def model(minilm: Encoder, tmp_path: Path) -> LiveModel:
    cache = VariedCache(tmp_path / "words", 256)
    reader = SpanReader(minilm, read_prior(), cache, hasty=True)
    base = CachedEncoder(minilm, FeatureCache(tmp_path / "features", 64))
    return cold_start(parse_label_config(MARKS), base, tools=lambda: SpanTools(reader))


@pytest.fixture
def tools() -> Iterator[AnswerTools]:
    metrics = Metrics()
    predictors = Predictors(2, metrics)
    yield AnswerTools(Settings(), predictors, metrics, AnswerCache(1 << 20))
    predictors.stop()


def answer(tools: AnswerTools, model: LiveModel, texts: list[str], **more: bool) -> Answered:
    tasks: list[Any] = [{"id": number, "data": {"text": text}} for number, text in enumerate(texts, 1)]
    return answer_tasks(tools, model, Question(model.spec), tasks, deadline(60), **more)


def unread_texts(tools: AnswerTools) -> float:
    return tools.metrics.registry.get_sample_value("understudy_unread_texts_total") or 0.0


def last_mark(item: Any) -> int:
    return max(region["value"]["end"] for region in item["result"])


def test_the_first_answer_is_of_what_was_read_and_the_next_one_of_all(tools: AnswerTools, model: LiveModel) -> None:
    first = answer(tools, model, [LONG, "Ann Miller left Oslo."])
    assert first.unread == {0} and unread_texts(tools) == 1 and isinstance(first.items[0], dict) and first.items[1]
    assert 5_000 < last_mark(first.items[0]) < 17_000 < len(LONG) - 1000
    until = time.monotonic() + 120
    while model.unread([{model.spec.spans[0].inputs[0]: LONG}]):
        assert time.monotonic() < until, "the rest is read by itself"
        time.sleep(0.05)
    second = answer(tools, model, [LONG])
    assert second.unread == frozenset() and unread_texts(tools) == 1, "an answer to a part is not kept"
    assert last_mark(second.items[0]) > len(LONG) - 1000
    assert answer(tools, model, [LONG]).items == second.items


@pytest.mark.parametrize("more", [{"whole": True}, {}])
def test_who_asks_for_many_or_for_all_waits_until_all_is_read(
    tools: AnswerTools, model: LiveModel, more: dict[str, bool]
) -> None:
    found = answer(tools, model, [LONG, *["Oslo"] * (0 if more else 8)], **more)
    assert found.unread == frozenset() and last_mark(found.items[0]) > len(LONG) - 1000


def test_a_small_request_comes_in_between(tools: AnswerTools, model: LiveModel) -> None:
    texts = [f"{number} {LONG}" for number in range(2)]
    thread = threading.Thread(target=answer, args=(tools, model, texts), kwargs={"whole": True})
    thread.start()
    time.sleep(0.3)
    answer(tools, model, ["Ann Miller left Oslo."])
    assert thread.is_alive(), "the long texts are answered still"
    thread.join()


def test_idle_work_is_done_when_nothing_waits_once_each_and_not_on_all_threads() -> None:
    predictors, gate = Predictors(2), threading.Event()
    done: list[object] = []

    def note(rows: Any) -> None:
        gate.wait(120)
        done.extend(rows)

    for number in range(3 + IDLE_CHUNKS):
        predictors.add_idle(number % 3 if number < 6 else number, Chunk(note, (number % 3 if number < 6 else number,)))
    time.sleep(0.1)
    assert not done
    assert predictors.run([alone(lambda: done.append("request"))], 5), "a thread is free for it"
    assert done == ["request"]
    gate.set()
    until = time.monotonic() + 120
    while predictors._idle or len(done) < 4:
        assert time.monotonic() < until
        time.sleep(0.01)
    predictors.stop()
    assert len(done) == len(set(done)) and {0, 1, 2} <= set(done) and len(done) <= IDLE_CHUNKS + 2
