"""Suggested answers as results: in the shape that the page keeps, for every kind of question and of text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.labelstudio.annotations import to_record
from backend.labelstudio.span_answers import with_spans
from backend.labelstudio.spans.validator import check_result
from backend.labelstudio.task_spec import parse_label_config, span_config_of
from model.labels import key_of
from model.region import RegionAnswer
from model.span import ScoredSpan
from model.spec import Prediction
from tests.support.spans import HTML_CONFIG, TURNS_CONFIG, opened, recorded

RECORDED = recorded("relations_perregion")
SPEC = parse_label_config(RECORDED["config"])
TEXT = {"text": RECORDED["text"]}
CHOICE = '<Choice value="real"/><Choice value="made up" alias="m"/></Choices>'


def bill(*answers: RegionAnswer) -> Prediction:
    return Prediction("label", (), 0.9, spans=(ScoredSpan(25, 35, "PER", 0.9, "", answers),))


def results(spec: Any, data: Any, *predictions: Prediction) -> tuple[list[dict[str, Any]], dict[str, int]]:
    result, _, dropped = with_spans(spec, data, predictions, "v1", [])
    return result, dict(dropped)


EVERY = (
    RegionAnswer("kind", ("real",), 0.8),
    RegionAnswer("multi", ("x", "y"), 0.7),
    RegionAnswer("note", (key_of(["the founder"]),), 0.6),
    RegionAnswer("sure", ("4",), 0.9),
    RegionAnswer("tax", (key_of(["A", "A1"]),), 0.95),
)


def test_every_kind_of_answer_is_what_the_recorded_page_kept() -> None:
    found, dropped = results(SPEC, TEXT, bill(*EVERY))
    assert dropped == {} and found[0]["type"] == "labels"
    kept = {
        item["from_name"]: item
        for item in RECORDED["per_region_full"]["prediction"]
        if item["id"] == "g" and item["from_name"] not in ("label", "num", "dt")
    }
    assert {item["from_name"] for item in found[1:]} == set(kept)
    for item in found[1:]:
        known = kept[item["from_name"]]
        assert (item["type"], item["to_name"], item["value"]) == (known["type"], known["to_name"], known["value"])
        assert item["id"] == found[0]["id"] and 0 < item["score"] < 1


@pytest.mark.parametrize(
    ("config", "data", "span", "place"),
    [
        (
            HTML_CONFIG,
            {"html": "<p>Ada met Bob</p>"},
            ("ner", 0, 3),
            {"start": "", "end": "", "startOffset": 0, "endOffset": 0, "globalOffsets": {"start": 0, "end": 3}},
        ),
        (
            TURNS_CONFIG,
            {"dialogue": [{"author": "a", "text": "😀 Ada"}, {"author": "b", "text": "Bob"}]},
            ("pl", 2, 5),
            {"start": "0", "end": "0", "startOffset": 3, "endOffset": 6},
        ),
    ],
)
def test_answers_have_the_place_of_their_region_in_the_unit_of_the_page(
    config: str, data: Any, span: tuple[str, int, int], place: dict[str, Any]
) -> None:
    name = "text" if config == HTML_CONFIG else "dlg"
    question = f'<Choices name="kind" toName="{name}" perRegion="true">{CHOICE}'
    spec = parse_label_config(config.replace("</View>", question + "</View>"))
    said = RegionAnswer("kind", ("m",), 0.8)
    found, dropped = results(
        spec, data, Prediction(span[0], (), 0.9, spans=(ScoredSpan(*span[1:], "PER", 0.9, "", (said,)),))
    )
    assert dropped == {} and found[1]["value"] == {**place, "choices": ["m"]}
    annotation = {"id": 1, "task": 1, "result": found, "updated_at": "2026-11-28T19:54:47Z", "lead_time": 1}
    record = to_record(spec, annotation, {"id": 1, "data": data})
    assert record.answers == {"kind": [(*span, "PER", [["m"]])]}, "and is read back"


BAD: list[tuple[dict[str, Any], str]] = [
    ({"value": {"choices": ["imaginary"]}}, "bad_answer"),
    ({"value": {"choices": ["real", "fictional"]}}, "bad_answer"),
    ({"value": {"choices": []}}, "bad_answer"),
    ({"value": {"choices": "real"}}, "bad_answer"),
    ({"from_name": "multi", "value": {"choices": ["x", "x"]}}, "bad_answer"),
    ({"from_name": "sure", "type": "rating", "value": {"rating": 6}}, "bad_answer"),
    ({"from_name": "sure", "type": "rating", "value": {"rating": 2.0}}, "bad_answer"),
    ({"from_name": "tax", "type": "taxonomy", "value": {"taxonomy": [["A1"]]}}, "bad_answer"),
    ({"from_name": "note", "type": "textarea", "value": {"text": "the founder"}}, "bad_answer"),
    ({"id": "nobody"}, "no_region"),
    ({"value": {"choices": ["real"], "start": 1, "end": 4}}, "no_place"),
    ({"type": "rating"}, "wrong_type"),
    ({"to_name": "other"}, "wrong_object"),
]


@pytest.mark.parametrize(("change", "reason"), BAD)
def test_the_validator_drops_an_answer_that_the_page_or_the_import_would_choke_on(
    change: dict[str, Any], reason: str
) -> None:
    config, pages = opened(RECORDED["config"], TEXT)
    whole = RECORDED["per_region_full"]["prediction"]
    good = {"id": "g", "from_name": "kind", "to_name": "text", "type": "choices", "value": {"choices": ["real"]}}
    assert check_result(config, pages, [*whole[:3], good]).dropped == {}
    checked = check_result(config, pages, [*whole[:3], {**good, **change}])
    assert checked.result == whole[:3] and checked.dropped == {reason: 1}


def test_a_question_goes_with_its_region_and_is_not_asked_of_other_labels() -> None:
    config, pages = opened(RECORDED["config"], TEXT)
    m, g, *_ = RECORDED["per_region_full"]["prediction"]
    multi = {"from_name": "multi", "to_name": "text", "type": "choices", "value": {"choices": ["x"]}}
    assert check_result(config, pages, [m, g, {**multi, "id": "g"}]).dropped == {}
    assert check_result(config, pages, [m, g, {**multi, "id": "m"}]).dropped == {"label_not_asked": 1}
    broken = {**g, "value": {**g["value"], "end": 99999}}
    checked = check_result(config, pages, [m, broken, {**multi, "id": "g"}])
    assert checked.result == [m] and checked.dropped == {"outside": 1, "no_region": 1}
    stars = '<Rating name="r" toName="text" perRegion="true"/>'
    view = f'<View visibleWhen="region-selected" whenLabelValue="ORG">{stars}</View>'
    config, pages = opened(RECORDED["config"].replace("</View>", view + "</View>"), TEXT)
    rating = {"from_name": "r", "to_name": "text", "type": "rating", "value": {"rating": 2}}
    checked = check_result(config, pages, [m, g, {**rating, "id": "m"}, {**rating, "id": "g"}])
    assert [item["id"] for item in checked.result] == ["m", "g", "m"]


KEYS = {
    "kind": ["real", "fictional", "alien", ""],
    "multi": ["x", "y", "z"],
    "note": [key_of(["a", "b"]), key_of(["\U0001f600 c"])],
    "sure": ["1", "5"],
    "tax": [key_of(["A"]), key_of(["A", "A1"]), key_of(["B"]), key_of(["A1"])],
    "nothing": ["x"],
}
ANSWERS = st.sampled_from(sorted(KEYS)).flatmap(
    lambda name: st.builds(
        RegionAnswer,
        st.just(name),
        st.lists(st.sampled_from(KEYS[name]), max_size=2).map(tuple),
        st.floats(0, 1),
    )
)
SPANS = st.builds(
    ScoredSpan,
    st.integers(0, 50),
    st.integers(51, 60),
    st.sampled_from(["ORG", "PER", "DATE", "ALIEN"]),
    st.floats(0, 1),
    st.just(""),
    st.lists(ANSWERS, max_size=4).map(tuple),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(SPANS, max_size=6))
def test_whatever_is_predicted_no_answer_leaves_without_its_region_or_with_a_label_of_nobody(
    spans: list[ScoredSpan],
) -> None:
    found, _ = results(SPEC, TEXT, Prediction("label", (), 0.5, spans=tuple(spans)))
    labels: dict[str, list[str]] = {}
    allowed = {"kind": [["real"], ["fictional"]], "multi": [["x"], ["y"], ["x", "y"], ["y", "x"]]}
    for item in found:
        value = item["value"]
        if item["type"] == "labels":
            labels[item["id"]] = value["labels"]
            continue
        assert item["id"] in labels, "it comes after its region"
        if item["from_name"] == "multi":
            assert labels[item["id"]] == ["PER"]
        if item["from_name"] in allowed:
            assert value["choices"] in allowed[item["from_name"]]
        if item["from_name"] == "tax":
            assert value["taxonomy"] and all(path in (["A"], ["A", "A1"], ["B"]) for path in value["taxonomy"])
    config = span_config_of(SPEC)
    pages = opened(RECORDED["config"], TEXT)[1]
    assert check_result(config, pages, found).result == found
