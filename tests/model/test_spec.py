"""Specs and samples: keys, digests and JSON without loss."""

from __future__ import annotations

import json

import pytest

from model.spec import Control, Input, Kind, Label, Sample, TaskSpec

TOPIC = Control("topic", Kind.TAXONOMY, ("text",), (Label(("A",), "a"), Label(("A", "A1"), "first")), "Taxonomy")
SPEC = TaskSpec((Input("text", "Text", "$text"), Input("title", "Text", "$title")), (TOPIC,))


def test_a_nested_label_is_one_key() -> None:
    assert TOPIC.keys() == ("A", "A/A1")


def test_a_spec_survives_json() -> None:
    assert TaskSpec.from_json(json.loads(json.dumps(SPEC.to_json()))) == SPEC


def test_the_digest_survives_json_and_follows_the_labels() -> None:
    again = TaskSpec.from_json(json.loads(json.dumps(SPEC.to_json())))
    fewer = TaskSpec(SPEC.inputs, (Control("topic", Kind.TAXONOMY, ("text",), TOPIC.labels[:1], "Taxonomy"),))
    assert again.digest == SPEC.digest != fewer.digest


def test_a_control_is_found_by_name() -> None:
    assert SPEC.control("topic") == TOPIC
    with pytest.raises(KeyError):
        SPEC.control("other")


def test_a_control_reads_its_inputs_in_its_own_order() -> None:
    control = Control("pair", Kind.SINGLE, ("title", "text"), ())
    assert control.text_of({"text": "b", "title": "a", "more": "c"}) == ("a", "b")


def test_a_sample_survives_json() -> None:
    sample = Sample(7, ("a", "b"), {"x": 0.25, "y": 0.75}, 0.5, True, (3, 4))
    assert Sample.from_json(json.loads(json.dumps(sample.to_json()))) == sample


def test_the_top_label_is_the_heaviest_and_ties_are_alphabetical() -> None:
    assert Sample(1, ("",), {"x": 0.25, "y": 0.75}).top == "y"
    assert Sample(1, ("",), {"y": 0.5, "x": 0.5}).top == "x"
