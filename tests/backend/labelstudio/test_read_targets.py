"""Reading annotations: old spellings are understood, regions, foreign controls and garbage are passed over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.labelstudio.results import blank_controls, read_targets
from model.spec import Control, Input, Kind, TaskSpec
from tests.backend.labelstudio.test_events_fuzz import JSON
from tests.support.label_configs import WEBHOOKS, control, keys_of, spec_of

CONTROLS = (
    control("c", "A", "B"),
    control("m", "A", "A/A1", "B", kind=Kind.MULTIPLE, nested=True),
    control("s", "A/A1", "A/A2", "B", nested=True),
    control("t", "A", "A/A1", "B", kind=Kind.TAXONOMY, tag="Taxonomy"),
    control("r", "1", "2", "3", kind=Kind.RATING, tag="Rating"),
)
SPEC = TaskSpec((Input("text", "Text", "$text"),), CONTROLS)


def answer(name: str, value: Any, **more: Any) -> dict[str, Any]:
    kind = SPEC.control(name).tag.lower()
    return {"from_name": name, "to_name": "text", "type": kind, "value": {kind: value, **more}}


def read(*items: Any) -> Any:
    return read_targets(SPEC, list(items))


@pytest.mark.parametrize(
    ("name", "value", "target"),
    [
        ("c", ["A"], [["A"]]),
        ("c", "A", [["A"]]),
        ("c", ["Unknown"], [["Unknown"]]),
        ("c", ["A", "A"], [["A"]]),
        ("c", [7], [["7"]]),
        ("c", ["A\0"], [["A\0"]]),
        ("c", ["A "], [["A "]]),
        ("m", ["A", ["A", "A1"]], [["A"], ["A", "A1"]]),
        ("m", ["A1"], [["A", "A1"]]),
        ("s", [["A"], ["A", "A1"]], [["A", "A1"]]),
        ("s", ["A", "A1"], [["A", "A1"]]),
        ("t", [["A", "A1"], ["B"]], [["A", "A1"], ["B"]]),
        ("t", ["A", "A1"], [["A", "A1"]]),
        ("r", 3, 3),
        ("r", 2.0, 2),
        ("r", 9, 9),
        *((name, [], []) for name in ("c", "m", "s", "t")),
        ("r", 0, []),
    ],
)
def test_an_answer_is_read_in_every_spelling(name: str, value: Any, target: Any) -> None:
    assert read(answer(name, value)) == {name: target}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("c", value) for value in (None, {}, [None], [[]], [{}], True, [True])),
        *(("r", value) for value in (-1, None, True, "3", [3], float("nan"), float("inf"))),
        *(("t", value) for value in (None, [[]], [{"a": 1}])),
    ],
)
def test_an_answer_that_cannot_be_read_is_missing(name: str, value: Any) -> None:
    assert read(answer(name, value), answer("m", ["B"])) == {"m": [["B"]]}


def test_answers_about_regions_are_passed_over() -> None:
    span = answer("c", ["A"], start=0, end=4, text="some")
    item = {**answer("c", ["B"]), "item_index": 2}
    assert read(span, item) == {}


def test_the_recorded_answers_of_regions_teach_nothing() -> None:
    body = next(row["body"] for row in WEBHOOKS if "per_region" in row["step"])
    inner = '<Choice value="A"/><Choice value="B"/>'
    assert any(item["from_name"] == "c" for item in body["annotation"]["result"])
    assert read_targets(spec_of(inner), body["annotation"]["result"]) == {}


@pytest.mark.parametrize(
    "foreign",
    [
        *(None, 7, "c", [], {}, {"from_name": "c"}, {"from_name": ["c"], "value": {"choices": ["B"]}}),
        *({"from_name": "c", "value": None}, {"from_name": "c", "value": ["B"]}, {"value": {"choices": ["B"]}}),
        {"from_name": "labels", "type": "labels", "value": {"labels": ["PER"]}},
        {"from_name": "c", "type": "taxonomy", "value": {"taxonomy": [["B"]]}},
    ],
    ids=str,
)
def test_foreign_items_do_not_cost_the_others(foreign: Any) -> None:
    assert read(foreign, answer("c", ["A"]), foreign) == {"c": [["A"]]}


@pytest.mark.parametrize("result", [None, {}, "c", 7, [None]])
def test_what_is_no_list_of_results_has_no_targets(result: Any) -> None:
    assert read_targets(SPEC, result) == {}


def test_two_results_of_one_control_add_up() -> None:
    assert read(answer("m", [["A"]]), answer("m", [["B"], ["A"]])) == {"m": [["A"], ["B"]]}


@pytest.mark.parametrize("name", ["c", "m", "s", "t", "r"])
def test_a_question_that_must_be_answered_is_not_answered_with_nothing(name: str) -> None:
    strict = replace(SPEC, controls=tuple(replace(control, required=True) for control in SPEC.controls))
    empty = answer(name, 0 if name == "r" else [])
    assert read_targets(SPEC, [empty]) == {name: []} and read_targets(strict, [empty]) == {}
    assert name not in blank_controls(SPEC, [empty]) and blank_controls(strict, []) == ()


def test_what_a_result_says_nothing_of_was_left_blank() -> None:
    relation = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    region = {"from_name": "spans", "type": "labels", "value": {"start": 0, "end": 4, "labels": ["PER"]}}
    assert blank_controls(SPEC, []) == ("c", "m", "s", "t", "r")
    assert blank_controls(SPEC, [answer("c", ["A"]), relation, region]) == ("m", "s", "t", "r")


@pytest.mark.parametrize("value", [None, [None], [{"a": 1}], True, {}])
def test_what_cannot_be_read_was_not_left_blank(value: Any) -> None:
    assert "c" not in blank_controls(SPEC, [answer("c", value)])


@pytest.mark.parametrize("result", [None, {}, "c", 7, [None], [7], [{"value": {}}], [{"from_name": None}]])
def test_nothing_is_blank_in_a_result_that_cannot_be_read(result: Any) -> None:
    assert blank_controls(SPEC, result) == ()


def test_label_keys_join_the_paths() -> None:
    assert keys_of({"c": [["A", "A1"], ["B"]], "r": 4}) == {"c": ["A/A1", "B"], "r": ["4"]}


ITEMS = st.builds(
    lambda item, value: {"from_name": item.name, "value": {item.tag.lower(): value}}, st.sampled_from(CONTROLS), JSON
)


def right(item: Control, target: Any) -> bool:
    if target == []:
        return not item.required
    if item.kind is Kind.RATING:
        return type(target) is int and target >= 1
    return bool(target) and all(path and all(type(part) is str for part in path) for path in target)


@settings(deadline=None, max_examples=300)
@given(st.lists(ITEMS | JSON, max_size=4) | JSON)
def test_any_result_is_read_without_an_error(result: Any) -> None:
    targets = read_targets(SPEC, result)
    assert all(right(SPEC.control(name), target) for name, target in targets.items())
