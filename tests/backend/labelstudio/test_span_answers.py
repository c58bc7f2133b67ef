"""Marked annotations become records: what is marked, what was removed, and which of them say nothing of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from backend.labelstudio.annotations import to_record
from backend.labelstudio.asked_since import ASKED_ALWAYS
from backend.labelstudio.records import ExampleRecord, microseconds
from backend.labelstudio.span_answers import Suggested, with_spans
from backend.labelstudio.spans.regions import SentSpan
from backend.labelstudio.task_spec import parse_label_config
from model.span import ScoredSpan
from model.spec import Prediction
from tests.support.spans import HTML_CONFIG, ODD_TEXT, TEXT_CONFIG, TURNS_CONFIG, recorded

SPEC = parse_label_config(TEXT_CONFIG)
MIXED = TEXT_CONFIG.replace(
    "</View>", '<Choices name="topic" toName="text"><Choice value="a"/><Choice value="b"/></Choices></View>'
)
STAMP = "2026-11-28T19:54:47.992582Z"
EDIT = recorded("edit_and_interactive")["edit"]


def region(start: Any, end: Any, label: str = "PER", **more: Any) -> dict[str, Any]:
    value = {"start": start, "end": end, "labels": [label]}
    return {"id": f"r{start}", "from_name": "label", "to_name": "text", "type": "labels", "value": value, **more}


def record(result: Any, spec: Any = SPEC, text: str = ODD_TEXT, suggested: Suggested | None = None, **more: Any) -> Any:
    limits = {name: more.pop(name) for name in ("max_chars", "asked") if name in more}
    annotation = {"id": 5, "task": 3, "result": result, "updated_at": STAMP, "lead_time": 3.5, **more}
    return to_record(spec, annotation, {"id": 3, "data": {"text": text}}, suggested=suggested or {}, **limits)


def sent(id_: str, start: int, end: int, label: str = "PER") -> SentSpan:
    return SentSpan(id_, "label", start, end, label, 0.9)


def test_marks_become_rows_of_code_points_beside_the_text_that_they_count_in() -> None:
    found = record([region(13, 16), region(0, 12)], completed_by=2)
    assert found.texts == {"text.page": ODD_TEXT} and found.targets == {} and found.teaches
    assert found.spans == {"label": [(0, 12, "PER"), (13, 16, "PER")]} and found.removed == {}
    assert found.annotator == 2


def test_a_skip_says_nothing_also_where_it_carries_all_regions() -> None:
    for name in ("skip_empty_page_webhook", "skip_preannotated_page_webhook"):
        (case,) = recorded("edit_and_interactive")[name]
        annotation = {**case["annotation"], "task": 3, "updated_at": STAMP}
        found = to_record(SPEC, annotation, {"id": 3, "data": case["data"]}, suggested={"v1": [sent("a", 8, 11)]})
        assert not found.teaches and found.spans == found.removed == found.texts == {}


def test_an_empty_result_says_that_there_is_nothing_and_regions_that_teach_nothing_do_not() -> None:
    assert record([]).spans == {"label": []} and record([]).teaches
    unlabelled = {**region(0, 3), "value": {"start": 0, "end": 3, "text": "Ada"}}
    for lost in (unlabelled, region(0, 3, "ALIEN"), region(None, 3), region(90, 99), region(3, 4)):
        found = record([lost])
        assert found.spans == {} and not found.teaches, lost
        assert record([lost, region(0, 12)]).spans == {"label": [(0, 12, "PER")]}, "the others count all the same"


def test_what_is_of_another_page_leaves_nothing_blank() -> None:
    stranger = {**region(0, 3), "from_name": "gone"}
    assert record([stranger]).spans == {}
    assert record([{"from_name": "topic", "type": "choices", "value": {"choices": ["a"]}}]).spans == {}
    assert record([{"type": "relation", "from_id": "a", "to_id": "b"}]).spans == {"label": []}


def test_a_copied_prediction_marks_what_it_holds_and_its_emptiness_says_nothing() -> None:
    copied = {"parent_prediction": 9, "lead_time": None}
    assert record([], **copied).spans == {}
    assert record([region(0, 12)], **copied).spans == {"label": [(0, 12, "PER")]}
    # Nobody has looked at it, so that nobody has removed anything: it may be of a version that is not known any more.
    assert record([region(0, 12)], suggested={"v9": [sent("x", 17, 32)]}, **copied).removed == {}


def test_a_question_that_came_later_was_not_left_blank_before() -> None:
    asked = ASKED_ALWAYS.follow(["topic"], 1).follow(["topic", "label"], microseconds(STAMP) + 1)
    spec = parse_label_config(MIXED)
    choice = {"from_name": "topic", "to_name": "text", "type": "choices", "value": {"choices": ["a"]}}
    before = record([choice], spec, asked=asked)
    assert before.targets == {"topic": [["a"]]} and before.spans == {} and set(before.texts) == {"text"}
    after = record([choice], spec, asked=asked, updated_at="2026-11-28T19:54:48.5Z")
    assert after.spans == {"label": []} and set(after.texts) == {"text", "text.page"}
    assert record([region(0, 12)], spec, asked=asked).spans == {"label": [(0, 12, "PER")]}, "it was, after all"


def test_a_mixed_page_left_blank_says_so_of_both() -> None:
    found = record([], parse_label_config(MIXED))
    assert found.targets == {"topic": []} and found.spans == {"label": []}


def test_the_recorded_edits_are_what_was_removed() -> None:
    suggested = [
        sent(one["id"], one["value"]["start"], one["value"]["end"], one["value"]["labels"][0])
        for one in EDIT["prediction"]
    ]
    annotation = {**EDIT["annotation"], "task": 3, "updated_at": STAMP, "lead_time": 9.0}
    found = to_record(SPEC, annotation, {"id": 3, "data": EDIT["data"]}, suggested={"v1": suggested})
    gone = {one.id: (one.start, one.end, one.label) for one in suggested}
    wrong = {gone[name] for name in ("relabel", "delete", "extend", "shrink")}
    assert set(found.removed["label"]) == wrong, "kept and undone ones are right"
    assert (17, 32, "PER") in found.spans["label"] and (57, 60, "ORG") in found.spans["label"]


def test_the_suggestions_are_those_of_the_version_whose_regions_are_still_there() -> None:
    suggested = {"v1": [sent("a1", 0, 12), sent("a2", 36, 42)], "v2": [sent("b1", 17, 32)]}
    old = record([region(0, 12, id="a1")], suggested=suggested, parent_prediction=1)
    assert old.removed == {"label": [(36, 42, "PER")]}
    new = record([region(0, 12, id="hand")], suggested=suggested, parent_prediction=1)
    assert new.removed == {}, "none of any: nobody knows which version was shown"
    both = {**suggested, "v2": [sent("b1", 17, 32), sent("b2", 36, 42)]}
    gone = record([region(0, 12, id="hand")], suggested=both, parent_prediction=1)
    assert gone.removed == {"label": [(36, 42, "PER")]}, "what every version suggested"
    assert record([region(0, 12)], suggested=suggested).removed == {}, "from scratch"
    assert record([region(0, 12)], parent_prediction=1).removed == {}, "of which nothing is known"


@pytest.mark.parametrize("id_", [7, None, ["x"], {"a": 1}, 1.5, True])
def test_a_region_with_an_odd_id_is_no_error(id_: Any) -> None:
    found = record([region(0, 12, id=id_)], suggested={"v1": [sent("a", 0, 12)]}, parent_prediction=1)
    assert found.spans == {"label": [(0, 12, "PER")]} and found.removed == {}


def test_a_text_that_is_cut_keeps_the_spans_inside() -> None:
    found = record([region(0, 12), region(17, 32)], max_chars=20)
    assert found.texts == {"text.page": ODD_TEXT[:20]} and found.spans == {"label": [(0, 12, "PER")]}


def test_a_text_that_cannot_be_read_marks_nothing() -> None:
    found = to_record(SPEC, {"id": 5, "task": 3, "result": [], "updated_at": STAMP}, {"id": 3, "data": {"other": 1}})
    assert found.spans == {} and not found.teaches


def test_each_object_counts_in_its_own_unit() -> None:
    html = parse_label_config(HTML_CONFIG)
    value = {"start": "", "end": "", "globalOffsets": {"start": 2, "end": 5}, "hypertextlabels": ["PER"]}
    found = to_record(
        html,
        {"id": 5, "task": 3, "updated_at": STAMP, "result": [{"id": "a", "from_name": "ner", "value": value}]},
        {"id": 3, "data": {"html": "<p>😀 <b>Ada</b></p>"}},
    )
    assert found.texts == {"text.page": "😀 Ada"} and found.spans == {"ner": [(2, 5, "PER")]}
    turns = parse_label_config(TURNS_CONFIG)
    value = {"start": "1", "end": "1", "startOffset": 3, "endOffset": 6, "paragraphlabels": ["PER"]}
    found = to_record(
        turns,
        {"id": 5, "task": 3, "updated_at": STAMP, "result": [{"id": "a", "from_name": "pl", "value": value}]},
        {"id": 3, "data": {"dialogue": [{"text": "hi"}, {"text": "😀 Bob"}]}},
    )
    assert found.texts == {"dlg.page": "hi\n😀 Bob"} and found.spans == {"pl": [(5, 8, "PER")]}


def test_a_record_with_spans_survives_as_json_and_one_without_is_what_it_was() -> None:
    plain = ExampleRecord(1, 2, {"text": "x"}, {"label": [["A"]]}, STAMP, 4, True)
    names = ["annotation", "task", "texts", "targets", "updated_at", "annotator", "ground_truth"]
    assert list(plain.to_json()) == names, "the bytes of a record are those of the releases before spans"
    for found in (
        plain,
        record([]),
        record([region(0, 12)]),
        replace(record([]), removed={"label": [(0, 3, "PER")]}),
    ):
        assert ExampleRecord.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_regions_get_ids_that_no_other_result_has_and_answers_of_choices_stay() -> None:
    spec = parse_label_config(MIXED)
    marked = Prediction("label", (), 0.5, spans=(ScoredSpan(0, 12, "PER", 0.9, "seen"), ScoredSpan(36, 42, "LOC", 0.8)))
    topic = {"id": "t", "from_name": "topic", "to_name": "text", "type": "choices", "value": {"choices": ["a"]}}
    result, told, dropped = with_spans(spec, {"text": ODD_TEXT}, [marked], "v3", [topic])
    assert result[0] == topic and dropped == {} and len({one["id"] for one in result}) == 3
    assert [one.span for one in told] == [one.span for one in marked.spans]
    again = with_spans(spec, {"text": ODD_TEXT}, [marked], "v3", [topic])
    assert again == (result, told, dropped), "the same answer has the same ids"
    other, *_ = with_spans(spec, {"text": ODD_TEXT}, [marked], "v4", [topic])
    assert {one["id"] for one in other} & {one["id"] for one in result} == {"t"}


def test_a_spec_without_spans_sends_what_it_was_given() -> None:
    spec = parse_label_config(MIXED.replace("Labels", "X").replace("Label ", "Y "))
    topic = {"id": "t", "from_name": "topic", "to_name": "text", "type": "choices", "value": {"choices": ["a"]}}
    assert with_spans(spec, {"text": ODD_TEXT}, [], "v3", [topic]) == ([topic], [], {})
