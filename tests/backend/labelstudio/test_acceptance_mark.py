"""Accepted answers are marked, are no labels, and become labels when a person lays hands on them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backend.labelstudio.annotations import accepted_by, mark_result
from backend.labelstudio.events import to_record
from backend.labelstudio.task_spec import parse_label_config

CONFIG = """<View><Text name="text" value="$text"/>
<Choices name="label" toName="text"><Choice value="a"/><Choice value="b"/></Choices></View>"""
RESULT = [{"id": "x", "from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["a"]}}]
TASK = {"id": 5, "data": {"text": "hello"}}


def annotation(**changes: Any) -> dict[str, Any]:
    made = {"id": 1, "task": 5, "result": mark_result(RESULT, "r1"), "updated_at": "2026-01-01T00:00:00Z"}
    return json.loads(json.dumps({**made, "lead_time": None, "ground_truth": False, **changes}))


def test_an_accepted_answer_teaches_nothing() -> None:
    assert accepted_by(annotation()) == "r1"
    record = to_record(parse_label_config(CONFIG), annotation(), TASK)
    assert record.targets == {} and record.texts == {}


def test_what_the_editor_adds_does_not_matter() -> None:
    [region] = mark_result([{**RESULT[0], "meta": {"text": ["note"]}}], "r1")
    assert accepted_by(annotation(result=[{**region, "id": "other", "origin": "prediction"}])) == "r1"
    assert region["meta"]["text"] == ["note"]


CHANGED = [{**mark_result(RESULT, "r1")[0], "value": {"choices": ["b"]}}]


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ({"result": CHANGED}, "b"),
        ({"lead_time": 3.2}, "a"),
        ({"ground_truth": True}, "a"),
        ({"parent_annotation": 9}, "a"),
        ({"result": RESULT}, "a"),
    ],
)
def test_a_person_makes_it_a_label(change: dict[str, Any], label: str) -> None:
    assert accepted_by(annotation(**change)) == ""
    record = to_record(parse_label_config(CONFIG), annotation(**change), TASK)
    assert record.targets == {"label": [[label]]}


@pytest.mark.parametrize("result", [None, [], "x", [None], [{"meta": "x"}], [{"meta": {"understudy": []}}]])
def test_foreign_results_bear_no_mark(result: Any) -> None:
    assert accepted_by({"result": result}) == ""
