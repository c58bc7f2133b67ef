"""What annotations answer about regions, as the real page was seen to send it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backend.labelstudio.annotations import to_record
from backend.labelstudio.asked_since import Asked
from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.task_spec import parse_label_config, skipped_controls
from model.region import RegionScope
from model.spec import Kind, TaskSpec
from tests.support.spans import TEXT_CONFIG, recorded

RECORDED = recorded("relations_perregion")
SPEC = parse_label_config(RECORDED["config"])
WHO = ("label", 25, 35, "PER")


def read(result: Any, spec: TaskSpec = SPEC, **more: Any) -> ExampleRecord:
    annotation = {"id": 1, "task": 1, "result": result, "updated_at": "2026-11-28T19:54:47Z", "lead_time": 3.0, **more}
    asked = annotation.pop("asked", Asked())
    return to_record(spec, annotation, {"id": 1, "data": {"text": RECORDED["text"]}}, asked=asked)


def answered(record: ExampleRecord) -> dict[str, list[Any]]:
    """Question -> the answers that are not blank."""
    found = {name: [row for row in rows if row[4] != []] for name, rows in record.answers.items()}
    return {name: rows for name, rows in found.items() if rows}


def test_every_question_about_regions_is_read_from_the_config() -> None:
    found = {control.name: (control.tag, control.kind, control.scope) for control in SPEC.regions}
    all_ = RegionScope(("label",))
    assert found == {
        "kind": ("Choices", Kind.SINGLE, all_),
        "multi": ("Choices", Kind.MULTIPLE, RegionScope(("label",), ("PER",))),
        "note": ("TextArea", Kind.SINGLE, all_),
        "sure": ("Rating", Kind.RATING, all_),
        "tax": ("Taxonomy", Kind.TAXONOMY, all_),
    }
    assert skipped_controls(RECORDED["config"]) == ()
    again = TaskSpec.from_json(json.loads(json.dumps(SPEC.to_json())))
    assert again == SPEC and again.digest == SPEC.digest


def test_all_kinds_of_answers_that_the_page_submits_are_read() -> None:
    assert answered(read(RECORDED["per_region_full"]["webhook_result"])) == {
        "kind": [(*WHO, [["real"]])],
        "multi": [(*WHO, [["x"], ["y"]])],
        "note": [(*WHO, [["the founder"]])],
        "sure": [(*WHO, 4)],
        "tax": [(*WHO, [["A", "A1"]])],
    }


@pytest.mark.parametrize(
    ("case", "names"),
    [
        ("per_region_no_offsets", {"kind", "note", "sure"}),
        ("per_region_no_offsets_before_label", set()),  # the page lost the place of the region
        ("per_region_other_id", set()),
        ("per_region_when_not_met", set()),
    ],
)
def test_answers_of_odd_shape_are_read_or_passed_over(case: str, names: set[str]) -> None:
    assert set(answered(read(RECORDED[case]["webhook_result"]))) == names


def test_a_question_that_is_left_blank_says_so_if_it_was_asked_and_of_the_right_regions_alone() -> None:
    result = RECORDED["per_region_full"]["webhook_result"]
    record = read([item for item in result if item["from_name"] == "label"])
    assert {name: len(rows) for name, rows in record.answers.items()} == {
        **dict.fromkeys(("kind", "note", "sure", "tax"), 3),
        "multi": 1,
    }
    later = read(result, asked=Asked({"kind": ((4 * 10**15, None),)}))
    assert [row[4] for row in later.answers["kind"]] == [[["real"]]], "what was answered counts all the same"
    assert read(result, was_cancelled=True).answers == {}
    copied = read(result, lead_time=None, parent_prediction=9)
    assert all(row[4] != [] for rows in copied.answers.values() for row in rows), "nobody left a blank in it"


def test_what_is_malformed_or_about_no_region_costs_nothing_else() -> None:
    result = RECORDED["per_region_full"]["webhook_result"]
    odd: list[Any] = [
        *(None, 7, {"from_name": "kind"}, {"from_name": "kind", "id": "g", "value": None}),
        *({"from_name": "kind", "id": 5, "value": {"choices": ["real"]}}, {"from_name": ["kind"], "id": "g"}),
        {"from_name": "sure", "id": "g", "value": {"rating": "four"}},
        {"from_name": "kind", "id": "nobody", "value": {"choices": ["real"]}},
    ]
    assert answered(read([*result, *odd])) == answered(read(result))


def test_records_with_answers_survive_json_and_older_ones_still_load() -> None:
    record = read(RECORDED["per_region_full"]["webhook_result"])
    data = json.loads(json.dumps(record.to_json()))
    assert ExampleRecord.from_json(data) == record
    del data["answers"]
    assert ExampleRecord.from_json(data).answers == {} and ExampleRecord.from_json(data).spans == record.spans


def with_questions(*questions: str) -> str:
    return TEXT_CONFIG.replace("</View>", "".join(questions) + "</View>")


CHOICE = '<Choice value="a"/><Choice value="b"/></Choices>'


@pytest.mark.parametrize(
    "question",
    [
        f'<Choices name="c" toName="text" perRegion="true" value="$options">{CHOICE}',
        f'<Choices name="c" toName="other" perRegion="true">{CHOICE}',
        f'<Choices name="c" toName="text" perRegion="true" whenTagName="nobody">{CHOICE}',
        f'<Choices name="c" toName="text" perRegion="true" whenLabelValue="NOBODY">{CHOICE}',
        f'<Choices name="c" toName="text" visibleWhen="region-selected">{CHOICE}',  # about the task
        f'<View visibleWhen="choice-selected"><Choices name="c" toName="text" perRegion="true">{CHOICE}</View>',
        '<Number name="c" toName="text" perRegion="true"/>',
        '<Choices name="c" toName="text" perRegion="true"></Choices>',
    ],
)
def test_what_cannot_be_learned_is_left_out(question: str) -> None:
    assert parse_label_config(with_questions(question)).regions == ()


def test_a_view_asks_for_labels_too_and_names_are_those_of_results() -> None:
    inner = f'<Choices name="c" toName="text" perRegion="true" whenLabelValue="PER,ORG">{CHOICE}'
    view = f'<View visibleWhen="region-selected" whenTagName="label" whenLabelValue="ORG,LOC">{inner}</View>'
    (control,) = parse_label_config(with_questions(view)).regions
    assert control.scope == RegionScope(("label",), ("ORG",))
    aliased = with_questions(inner).replace('<Label value="PER"/>', '<Label value="PER" alias="p"/>')
    (control,) = parse_label_config(aliased).regions
    assert control.scope == RegionScope(("label",), ("ORG", "p"))


def test_a_spec_without_questions_about_regions_is_what_it_was() -> None:
    spec = parse_label_config(TEXT_CONFIG)
    assert "regions" not in spec.to_json() and spec.digest == "b73fc0c393f9fb93"
