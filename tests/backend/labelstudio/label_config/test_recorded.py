"""Every recorded label config becomes the right spec; Label Studio's own reader is the oracle of the labels."""

from __future__ import annotations

import pytest

from backend.errors import UnsupportedConfig
from backend.labelstudio.task_spec import parse_label_config, skipped_controls
from model.spec import Control, Input, Kind, TaskSpec
from tests.support.label_configs import CONFIGS, UNSUPPORTED, paths, recorded

TEXT = Input("text", "Text", "$text")

Shape = tuple[str, str, Kind, tuple[str, ...], tuple[tuple[str, ...], ...], str | None]
"""Name, tag, kind, inputs, label paths and options field of a control."""


def single(*keys: str, name: str = "c", inputs: tuple[str, ...] = ("text",), field: str | None = None) -> Shape:
    return (name, "Choices", Kind.SINGLE, inputs, paths(*keys), field)


def multiple(*keys: str, name: str) -> Shape:
    return (name, "Choices", Kind.MULTIPLE, ("text",), paths(*keys), None)


EXPECTED: dict[str, tuple[tuple[Input, ...], tuple[Shape, ...]]] = {
    "single": ((TEXT,), (single("Positive", "Negative", "Neutral", name="sentiment"),)),
    "multiple": ((TEXT,), (multiple("Positive", "Negative", "Neutral", name="sentiment"),)),
    "required_alias": ((TEXT,), (single("1", "2"),)),
    "nested_choices": ((TEXT,), (single("A", "A/A1", "B"),)),
    "dynamic_choices": ((TEXT,), (single(field="options"),)),
    "taxonomy": ((TEXT,), (("tax", "Taxonomy", Kind.TAXONOMY, ("text",), paths("A", "A/A1", "B"), None),)),
    "rating": ((TEXT,), (("r", "Rating", Kind.RATING, ("text",), paths("1", "2", "3", "4", "5"), None),)),
    "pair": (
        (Input("t1", "Text", "$first"), Input("t2", "Text", "$second")),
        (single("same", "differs", inputs=("t1", "t2")),),
    ),
    "two_choices": ((TEXT,), (single("A", "B", name="c1"), multiple("X", "Y", name="c2"))),
    "paragraphs": ((Input("p", "Paragraphs", "$dialogue", "author", "text"),), (single("A", "B", inputs=("p",)),)),
    "hypertext": ((Input("h", "HyperText", "$html"),), (single("A", "B", inputs=("h",)),)),
    "static_value": ((Input("text", "Text", "Text is $text"),), (single("A", "B"),)),
    "one_choice": ((TEXT,), (single("Only"),)),
    "unicode_labels": ((TEXT,), (single("良い & <ok>", "a,b", name="カテゴリ"),)),
    "change label config (add a label)": (
        (TEXT,),
        (single("Positive", "Negative", "Neutral", "Mixed", name="sentiment"),),
    ),
    "label config that drops a used label": ((TEXT,), (single("Negative", "Neutral", name="sentiment"),)),
}


def shape(control: Control) -> Shape:
    labels = tuple(label.path for label in control.labels)
    return (control.name, control.tag, control.kind, control.inputs, labels, control.options_field)


def test_no_recorded_config_is_left_out() -> None:
    assert {*EXPECTED, *UNSUPPORTED, "per_region"} == set(CONFIGS)


def test_a_question_about_regions_is_learned_along_with_the_regions() -> None:
    spec = parse_label_config(CONFIGS["per_region"])
    assert spec.controls == () and [control.kind for control in spec.spans] == [Kind.SPANS]
    assert [(control.name, control.inputs) for control in spec.regions] == [("c", ("text.page",))]
    assert skipped_controls(CONFIGS["per_region"]) == ()


@pytest.mark.parametrize("case", EXPECTED)
def test_a_recorded_config_gives_its_inputs_and_controls(case: str) -> None:
    spec = parse_label_config(CONFIGS[case])
    assert (spec.inputs, tuple(map(shape, spec.controls))) == EXPECTED[case]
    assert not any(control.nested for control in spec.controls)
    assert skipped_controls(CONFIGS[case]) == ()


@pytest.mark.parametrize("case", EXPECTED)
def test_the_spec_of_a_recorded_config_survives_json(case: str) -> None:
    spec = parse_label_config(CONFIGS[case])
    assert TaskSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize("case", EXPECTED)
def test_label_studio_reads_the_same_labels(case: str) -> None:
    from label_studio_sdk.label_interface import LabelInterface

    oracle = LabelInterface(CONFIGS[case])
    for control in parse_label_config(CONFIGS[case]).controls:
        theirs = oracle.get_control(control.name)
        assert tuple(theirs.to_name) == control.inputs
        if control.kind is not Kind.RATING:  # Label Studio counts stars as no labels
            assert [label.path[-1] for label in control.labels] == list(theirs.labels)


@pytest.mark.parametrize("case", sorted(UNSUPPORTED))
def test_a_recorded_config_without_a_learnable_control_is_refused_in_one_line(case: str) -> None:
    with pytest.raises(UnsupportedConfig) as caught:
        parse_label_config(CONFIGS[case])
    message = str(caught.value)
    assert message.isascii() and message.isprintable() and message


def test_the_config_of_a_setup_request_and_of_its_predict_request_are_one_object() -> None:
    requests = recorded("requests")
    spec = parse_label_config(requests["setup"]["schema"])
    assert parse_label_config(requests["predict"]["label_config"]) is spec


def test_configs_with_other_labels_have_other_digests() -> None:
    digests = [parse_label_config(CONFIGS[case]).digest for case in EXPECTED]
    assert len(set(digests)) == len(digests)


def test_alias_is_the_label_and_the_shown_text_its_words() -> None:
    (control,) = parse_label_config(CONFIGS["required_alias"]).controls
    assert [(label.key, label.words) for label in control.labels] == [("1", "One"), ("2", "Two")]


def test_words_of_an_inner_choice_name_its_parents() -> None:
    (control,) = parse_label_config(CONFIGS["taxonomy"]).controls
    assert [label.words for label in control.labels] == ["A", "A / A1", "B"]
