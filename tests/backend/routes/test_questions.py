"""Questions through the web routes: asked with the task, answered once at most, stored with what was asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from backend.jobs.learn.refit import refit
from tests.backend.routes.test_marking import ADMIN, eventually, predict, webhook
from tests.support.questions import PROJECT, TEMPLATE, add_answers, asked
from tests.support.spans import recorded_pages


def test_the_recorded_answer_of_the_template_is_stored_with_its_question(client: Any, services: Any) -> None:
    pages = {case: (config, data, result) for case, config, data, result in recorded_pages("config_variants")}
    config, data, result = pages["qa_template"]
    assert client.post("/setup", json={"project": f"{PROJECT}.1", "schema": config}).status_code == 200
    assert webhook(client, config, 5, data, result).status_code == 200
    (record,) = services.stores.examples.of_task(PROJECT, 5)
    assert record.texts == {"text.page": data["text"], "question": data["question"]}
    assert [data["text"][start:end] for start, end, _ in record.spans["answer"]] == ["event horizon", "1956"]
    assert webhook(client, config, 6, data, []).status_code == 200
    (record,) = services.stores.examples.of_task(PROJECT, 6)
    assert record.spans == {"answer": []}, "unanswerable"


def test_one_answer_at_most_with_score_and_reason(client: Any, learned: Any) -> None:
    tasks = [{"id": 300 + number, "data": one.data} for number, one in enumerate(asked(16, 500))]
    reply = predict(client, TEMPLATE, tasks)
    items = reply.get_json()["results"]
    found = [item["result"] for item in items]
    assert all(len(own) <= 1 for own in found) and sum(map(len, found)) >= 8
    for task, own in zip(tasks, found, strict=True):
        for region in own:
            value = region["value"]
            assert task["data"]["text"][value["start"] : value["end"]] == value["text"]
            assert value["labels"] == ["Answer"] and 0 < region["score"] <= 1 and region["meta"]["text"]
    assert all(0 < item["score"] <= 1 for item in items)


def test_another_question_about_the_same_passage_has_an_answer_of_its_own(client: Any, learned: Any) -> None:
    who, when, *_ = asked(2, 500)
    assert who.text == when.text
    tasks = [{"id": 1000, "data": who.data}, {"id": 1001, "data": when.data}]
    for _ in range(2):  # the second time from the cache of answers
        first, second = (item["result"] for item in predict(client, TEMPLATE, tasks).get_json()["results"])
        assert [one["value"]["text"] for one in (*first, *second)] == [who.said, when.said]


def test_marking_an_answer_marks_no_other_occurrence(client: Any) -> None:
    text = "Mara Voss left. Mara Voss came back, and Mara Voss stayed."
    region = {"id": "m", "from_name": "answer", "to_name": "text", "type": "labels", "origin": "manual"}
    region["value"] = {"start": 0, "end": 9, "text": "Mara Voss", "labels": ["Answer"]}  # type: ignore[assignment]
    task = {"id": 9, "data": {"text": text, "question": "Who left?"}}
    (item,) = predict(client, TEMPLATE, [task], context={"result": [region]}).get_json()["results"]
    assert item["result"] == []


@pytest.mark.parametrize(
    "question", [None, {"a": 1}, 7, True, "", " ", "?", "😀" * 50, "שאלה?", "w" * 5000, ["a", "b"]]
)
def test_odd_questions_harm_no_batch(client: Any, learned: Any, question: Any) -> None:
    good = asked(1, 500)[0]
    tasks = [{"id": 1, "data": {"text": good.text, "question": question}}, {"id": 2, "data": good.data}]
    reply = predict(client, TEMPLATE, tasks)
    assert reply.status_code == 200
    first, second = reply.get_json()["results"]
    assert [one["value"]["text"] for one in second["result"]] == [good.said]
    assert json.dumps(first)


def test_explain_tells_the_question_and_what_speaks_for_the_answer(client: Any, learned: Any) -> None:
    reply = client.get(f"/admin/projects/{PROJECT}/explain?task=1", headers=ADMIN)
    assert reply.status_code == 200, reply.text
    found = reply.get_json()
    assert found["texts"] == {"text.page": asked(1)[0].text, "question": asked(1)[0].question}
    assert found["spans"][0]["text"] == asked(1)[0].said and "asked for: person" in found["spans"][0]["reason"]


@pytest.fixture
def learned(client: Any, context: Any, once: Callable[..., None]) -> Any:
    def learn() -> None:
        add_answers(context, asked(40))
        assert refit(PROJECT) == "published"

    once(learn)
    task = {"id": 77, "data": asked(1)[0].data}
    eventually(lambda: predict(client, TEMPLATE, [task]).get_json()["results"][0]["model_version"] == "v0.1")
    return context
