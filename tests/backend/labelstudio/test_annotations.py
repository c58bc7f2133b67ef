"""Annotations become records: what each field is taken from, and which annotations teach nothing."""

from __future__ import annotations

from typing import Any

import pytest

from backend.errors import BadRequest, UnsupportedConfig
from backend.labelstudio.annotations import to_record
from backend.labelstudio.asked_since import ASKED_ALWAYS
from backend.labelstudio.events import parse_webhook, to_records
from backend.labelstudio.records import ExampleRecord, microseconds
from backend.labelstudio.task_spec import parse_label_config
from tests.support.label_configs import CONFIGS, WEBHOOKS, webhook

SPEC = parse_label_config(CONFIGS["single"])
RESULT = [{"from_name": "sentiment", "to_name": "text", "type": "choices", "value": {"choices": ["Positive"]}}]
STAMP = "2026-11-23T17:36:33.598884Z"


def annotated(**changes: Any) -> dict[str, Any]:
    return {"id": 5, "task": 3, "result": RESULT, "updated_at": STAMP, **changes}


def record(data: Any = None, **changes: Any) -> ExampleRecord:
    task = {"id": 3, "data": {"text": "hello"} if data is None else data}
    return to_record(SPEC, annotated(**changes), task)


def recorded_record(step: str) -> ExampleRecord:
    return to_records(parse_webhook(webhook(step, "ANNOTATION_CREATED")), SPEC)[0]


def test_an_annotation_becomes_a_record() -> None:
    found = record(completed_by=2)
    assert found == ExampleRecord(5, 3, {"text": "hello"}, {"sentiment": [["Positive"]]}, STAMP, 2, False)


def test_every_recorded_annotation_becomes_a_record_with_a_version() -> None:
    for body in (row["body"] for row in WEBHOOKS if "annotation" in row["body"]):
        try:
            spec = parse_label_config(body["project"]["label_config"])
        except UnsupportedConfig:
            continue
        (found,) = to_records(parse_webhook(body), spec)
        assert microseconds(found.updated_at) > 0 and found.annotator == 1
        single = body["annotation"] if isinstance(body["annotation"], dict) else body["annotation"][0]
        assert found.teaches == bool(found.texts) == (not single["was_cancelled"])


def test_a_recorded_skip_teaches_nothing_and_an_empty_submit_says_none_of_these() -> None:
    skipped, empty = recorded_record("skip task (was_cancelled)"), recorded_record("empty result submitted")
    assert (skipped.texts, skipped.targets) == ({}, {}) and skipped.annotation > 0
    assert empty.targets == {"sentiment": []} and empty.texts["text"]


def test_a_required_question_is_never_answered_with_nothing() -> None:
    strict = parse_label_config(CONFIGS["single"].replace('choice="single"', 'choice="single" required="true"'))
    assert to_record(strict, annotated(result=[]), {"id": 3, "data": {"text": "hello"}}).targets == {}


def test_a_question_that_came_later_was_not_left_blank() -> None:
    asked = ASKED_ALWAYS.follow([], 0).follow(["other"], 0).follow(["other", "sentiment"], microseconds(STAMP) + 1)
    task = {"id": 3, "data": {"text": "hello"}}
    assert to_record(SPEC, annotated(result=[]), task, asked=asked).targets == {}
    assert to_record(SPEC, annotated(), task, asked=asked).targets == {"sentiment": [["Positive"]]}
    assert to_record(SPEC, annotated(result=[]), task).targets == {"sentiment": []}


def test_a_skipped_annotation_teaches_nothing_even_with_a_result() -> None:
    assert (record(was_cancelled=True).targets, record(was_cancelled=True).texts) == ({}, {})


@pytest.mark.parametrize("data", [{"other": "x"}, {"text": None}, {"text": {}}, {}, "x", []])
def test_the_annotation_of_an_unreadable_task_teaches_nothing(data: Any) -> None:
    found = record(data)
    assert (found.texts, found.targets, found.annotation, found.task) == ({}, {}, 5, 3)


def test_an_annotation_without_its_task_teaches_nothing() -> None:
    assert to_record(SPEC, annotated(), None).targets == {}


def test_ground_truth_is_kept() -> None:
    assert recorded_record("ground truth").ground_truth
    assert not recorded_record("create annotation").ground_truth


@pytest.mark.parametrize(
    ("completed_by", "annotator"),
    [(4, 4), ({"id": 4, "email": "x"}, 4), (None, None), ({}, None), ("4", None), (True, None), ([4], None)],
)
def test_the_annotator_is_a_number_or_an_object_with_one(completed_by: Any, annotator: int | None) -> None:
    assert record(completed_by=completed_by).annotator == annotator


def test_only_the_texts_of_answered_controls_are_kept() -> None:
    config = CONFIGS["single"].replace(
        "</View>", '<Text name="t" value="$t"/><Rating name="r" toName="t" maxRating="3" required="true"/></View>'
    )
    task = {"id": 3, "data": {"text": "hello", "t": "other"}}
    assert to_record(parse_label_config(config), annotated(), task).texts == {"text": "hello"}


def test_a_pair_with_one_text_missing_costs_only_its_own_answer() -> None:
    config = CONFIGS["pair"].replace("</View>", '<Rating name="r" toName="t1"/></View>')
    result = [
        {"from_name": "c", "value": {"choices": ["same"]}},
        {"from_name": "r", "value": {"rating": 4}},
    ]
    found = to_record(parse_label_config(config), annotated(result=result), {"id": 3, "data": {"first": "a"}})
    assert (found.texts, found.targets) == ({"t1": "a"}, {"r": 4})


def test_the_text_is_cut() -> None:
    assert to_record(SPEC, annotated(), {"id": 3, "data": {"text": "x" * 99}}, 10).texts == {"text": "x" * 10}


def test_the_task_may_name_itself() -> None:
    assert record(task=None).task == 3


def test_without_a_change_time_the_creation_time_counts_and_without_both_the_present() -> None:
    assert record(updated_at=None, created_at=STAMP).updated_at == STAMP
    assert microseconds(record(updated_at=None).updated_at) > microseconds("2020-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": None}, "annotation.id"),
        ({"id": -1}, "annotation.id"),
        ({"task": "x"}, "annotation.task"),
        ({"updated_at": "yesterday"}, "annotation.updated_at"),
        ({"updated_at": 1795455393}, "annotation.updated_at"),
    ],
)
def test_an_unusable_id_or_time_is_refused_by_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        record(**changes)
    assert caught.value.evidence == {"field": field}
