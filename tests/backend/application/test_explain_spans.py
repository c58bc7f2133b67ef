"""Why spans are marked, and why not: GET /admin/projects/<id>/explain of marked text, and `understudy explain`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from backend.jobs.learn.refit import refit
from tests.backend.cli.test_admin import Admin, admin, understudy  # noqa: F401
from tests.backend.routes.test_marking import ADMIN, eventually, predict
from tests.support.marking import MARKS, PROJECT, Marks, sentences
from tests.support.questions import TEMPLATE, add_answers, asked

TEXT = "Ivan Petrov moved to Quito last year."


def explain(client: Any, query: str) -> Any:
    return client.get(f"/admin/projects/{PROJECT}/explain?{query}", headers=ADMIN)


@pytest.fixture
def learned(client: Any, context: Any, services: Any, once: Callable[..., None]) -> Any:
    def learn() -> None:
        Marks(context).add(sentences(32))
        assert refit(PROJECT) == "published"

    once(learn)
    task = {"id": 900, "data": {"text": TEXT}}
    client.post("/setup", json={"project": f"{PROJECT}.1", "schema": MARKS})
    eventually(lambda: predict(client, MARKS, [task]).get_json()["results"][0]["model_version"] == "v0.1")
    eventually(lambda: 900 in services.stores.projects.pool(PROJECT))
    return context


def test_each_span_is_told_with_what_decided_and_what_is_like_it(client: Any, learned: Any) -> None:
    found = explain(client, "task=900").get_json()
    by_text = {one["text"]: one for one in found["spans"]}
    assert {text: one["label"] for text, one in by_text.items()} == {"Ivan Petrov": "PER", "Quito": "LOC"}
    assert found["compared"] == {"spans": 48, "texts": 24, "known": 24}
    for one in by_text.values():
        why = one["why"]
        assert why["shown"] and why["verdict"] == "likely enough" and why["probability"] > why["threshold"]
        assert sum(group["score"] for group in why["groups"]) == pytest.approx(why["difference"], abs=0.02)
        assert why["difference"] > 0 and why["runner_up"]["probability"] < why["probability"]
        assert sum(part["share"] for part in why["parts"]) == pytest.approx(1, abs=1e-3)
        for feature in why["features"]:
            assert TEXT[feature["start"] : feature["end"]] == feature["text"] and feature["what"]
        assert [near["label"] for near in why["nearest"]] == [one["label"]] * 3
        for near in why["nearest"]:
            text = sentences(32)[near["task"] - 1].text
            assert text[near["start"] : near["end"]] == near["text"] and near["text"] in near["around"]
            assert near["link"].endswith(f"/projects/{PROJECT}/data?task={near['task']}") if "link" in near else True
    assert "asked" not in found


def test_why_not_is_told_of_any_characters(client: Any, learned: Any) -> None:
    start = TEXT.index("moved")
    found = explain(client, f"task=900&start={start}&end={start + 5}&label=LOC").get_json()["asked"]
    assert (found["text"], found["label"], found["why"]["shown"]) == ("moved", "LOC", False)
    assert found["why"]["verdict"] == "not likely enough" and found["why"]["difference"] < 0
    assert found["why"]["runner_up"] == {"label": "", "probability": found["why"]["runner_up"]["probability"]}
    assert len(found["why"]["nearest"]) == 5
    start = TEXT.index("Quito")
    found = explain(client, f"task=900&start={start}&end={start + 5}").get_json()["asked"]
    assert (found["label"], found["why"]["shown"]) == ("LOC", True), "the likeliest label where none is named"
    found = explain(client, f"task=900&start={start + 1}&end={start + 3}&label=PER").get_json()["asked"]
    assert (found["text"], found["why"]["runner_up"]["label"]) == ("Quito", "LOC"), "a half word counts whole"
    first = explain(client, "task=900&start=0&end=4").get_json()["asked"]
    assert first["text"] == "Ivan" and first["why"]["runner_up"]["text"] == "Ivan Petrov"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("start=3", "end"),
        ("end=3", "start"),
        ("start=x&end=3", "start"),
        ("start=-1&end=3", "start"),
        ("start=5&end=5", "end"),
        ("start=0&end=99999", "end"),
        ("start=4&end=5", "start"),
        ("start=0&end=4&label=GONE", "label"),
        ("label=PER", "label"),
        ("start=0&end=4&control=gone", "control"),
    ],
)
def test_what_cannot_be_asked_is_told(client: Any, learned: Any, query: str, field: str) -> None:
    reply = explain(client, f"task=900&{query}")
    assert (reply.status_code, reply.get_json()["field"]) == (400, field), reply.text


def test_of_choices_no_characters_can_be_asked(client: Any) -> None:
    config = (
        '<View><Text name="text" value="$text"/><Choices name="c" toName="text"><Choice value="a"/></Choices></View>'
    )
    client.post("/setup", json={"project": f"{PROJECT}.1", "schema": config})
    reply = explain(client, "task=1&start=0&end=4")
    assert (reply.status_code, reply.get_json()["field"]) == (400, "start")


def test_an_annotated_task_is_not_near_itself(client: Any, learned: Any) -> None:
    found = explain(client, "task=1").get_json()
    assert found["spans"]
    for one in found["spans"]:
        assert 1 not in [near["task"] for near in one["why"]["nearest"]]


def test_before_any_label_the_prior_is_told(client: Any, services: Any) -> None:
    client.post("/setup", json={"project": f"{PROJECT}.1", "schema": MARKS})
    predict(client, MARKS, [{"id": 900, "data": {"text": "Angela Merkel went to Berlin."}}])
    eventually(lambda: 900 in services.stores.projects.pool(PROJECT))
    found = explain(client, "task=900").get_json()
    assert found["version"] == "v0" and found["spans"] and found["compared"]["spans"] == 0
    for one in found["spans"]:
        assert {group["group"] for group in one["why"]["groups"]} <= {"label name", "order"}
        assert one["why"]["nearest"] == [] and one["why"]["difference"] > 0


def test_an_answer_is_told_with_like_questions(client: Any, context: Any, services: Any) -> None:
    add_answers(context, asked(40))
    assert refit(PROJECT) == "published"
    one = next(own for own in asked(8, 500) if own.said)
    task = {"id": 900, "data": one.data}
    client.post("/setup", json={"project": f"{PROJECT}.1", "schema": TEMPLATE})
    eventually(lambda: predict(client, TEMPLATE, [task]).get_json()["results"][0]["model_version"] == "v0.1")
    eventually(lambda: 900 in services.stores.projects.pool(PROJECT))
    found = explain(client, "task=900&start=0&end=3").get_json()
    (answer,) = found["spans"]
    assert answer["text"] == one.said and answer["why"]["difference"] > 0
    alike = [near["question"].split()[0] == one.question.split()[0] for near in answer["why"]["nearest"]]
    assert len(alike) == 3 and alike[0] and sum(alike) >= 2
    assert (found["asked"]["text"], found["asked"]["why"]["shown"]) == ("The", False)
    assert found["asked"]["why"]["runner_up"]["text"] == one.said


WHY = {
    **{"shown": True, "verdict": "likely enough", "probability": 0.9, "threshold": 0.45, "difference": 3.14},
    "parts": [{"part": "chain", "share": 0.75, "probability": 0.95}],
    "nearest": [
        {"task": 3, "start": 0, "end": 3, "label": "PER", "text": "Tom", "around": "Tom came", "similarity": 0.83}
    ],
    "runner_up": {"label": "", "probability": 0.05},
    "groups": [{"group": "meaning", "score": 3.0}, {"group": "word", "score": 0.14}],
    "features": [{"group": "word", "what": 'word "kim"', "text": "Kim", "start": 0, "end": 3, "score": 0.14}],
    **{"without_finetune": 0.7, "chain": 2, "chains": 3},
}
FOUND = {
    **{"version": "v1.2", "control": "label", "label": "", "labels": [], "score": 0.8, "runner_up": {}, "words": []},
    "texts": {"text": "Kim came\x1b[2J"},
    "spans": [{"start": 0, "end": 3, "label": "PER", "text": "Kim", "score": 0.93, "reason": "not seen", "why": WHY}],
}


def test_the_command_prints_what_decided(admin: Admin, understudy: Any) -> None:  # noqa: F811
    admin.replies["GET", "/admin/projects/7/explain?task=5"] = 200, FOUND
    lines = understudy("explain", "7", "5").output.splitlines()
    assert lines[2] == "[Kim] came\\u001b[2J"
    assert lines[4:] == [
        " 0.93  PER: Kim  (not seen)",
        "       +3.1 against nothing (0.05): meaning +3.0, word +0.1",
        "       0.70 without the fine-tuned encoder",
        '       like PER "Tom" (task 3, 0.83)',
    ]


def test_the_command_asks_about_characters(admin: Admin, understudy: Any) -> None:  # noqa: F811
    why = {**WHY, "shown": False, "verdict": "not likely enough", "runner_up": {**WHY["runner_up"], "label": "ORG"}}  # type: ignore[dict-item]
    one = {"start": 4, "end": 8, "label": "PER", "text": "came", "score": 0.03, "reason": "", "why": why}
    admin.replies["GET", "/admin/projects/7/explain?task=5&label=PER&start=4&end=8"] = 200, {**FOUND, "asked": one}
    lines = understudy("explain", "7", "5", "--span", "4:8", "--label", "PER").output.splitlines()
    assert '"came" is not shown as PER: not likely enough (0.03, shown from 0.45 on)' in lines
    assert '       +0.14  Kim: word "kim"' in lines and "       chain says 0.95, and counts 75%" in lines
    assert (
        json.loads(understudy("explain", "7", "5", "--span", "4:8", "--label", "PER", "--json").output)["asked"] == one
    )
    for wrong in (("--span", "4"), ("--span", "8:4"), ("--span", "a:b"), ("--label", "PER")):
        told = understudy("explain", "7", "5", *wrong)
        assert told.exit_code != 0 and "--span" in told.output
