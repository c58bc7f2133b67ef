"""Span controls of label configs: every recorded one, and those that are refused."""

from __future__ import annotations

import pytest

from backend.errors import BadRequest
from backend.labelstudio.spans.config import CODES, read_span_config, with_all_task_labels, with_task_labels
from backend.labelstudio.spans.control import RegionQuestion, SpanLabel
from tests.support.spans import recorded

VARIANTS = {name: case for name, case in recorded("config_variants").items() if "refused" not in case}
REFUSED = {"labels_two_texts": "span_objects_many", "old_HyperTextLabels_on_Text": "span_tags_do_not_fit"}


@pytest.mark.parametrize("name", sorted(set(VARIANTS) - set(REFUSED)))
def test_a_recorded_config_gives_the_labels_that_label_studio_reads(name: str) -> None:
    config = read_span_config(VARIANTS[name]["config"])
    assert config.refusals == ()
    found = {
        one.name: [[label.name for label in one.labels], [one.object.name], one.options_field is not None]
        for one in config.controls
    }
    assert found == VARIANTS[name].get("labels", {"answer": [["Answer"], ["text"], False]})


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_recorded_config_that_the_page_cannot_mark_is_refused(name: str) -> None:
    config = read_span_config(VARIANTS[name]["config"])
    assert config.controls == ()
    assert [one.code for one in config.refusals] == [REFUSED[name]]


def labels(inner: str = '<Label value="A"/>', attributes: str = 'name="l" toName="t"', tag: str = "Labels") -> str:
    return f"<{tag} {attributes}>{inner}</{tag}>"


TEXT = '<Text name="t" value="$text"/>'


@pytest.mark.parametrize(
    ("code", "words", "xml"),
    [
        ("span_control_unnamed", "has no name", labels(attributes='toName="t"') + TEXT),
        ("span_object_missing", "'nope', which is not there", labels(attributes='name="l" toName="nope"') + TEXT),
        ("span_object_missing", "it has no toName", labels(attributes='name="l"') + TEXT),
        ("span_objects_many", "use one Labels for each", labels(attributes='name="l" toName="t,u"') + TEXT),
        ("span_object_not_text", "Image 't', which is not text", labels() + '<Image name="t" value="$i"/>'),
        ("span_object_not_text", "Audio 't', which is not text", labels() + '<Audio name="t" value="$i"/>'),
        ("span_text_by_url", "text by URL cannot be read", labels() + '<Text name="t" value="$u" valueType="url"/>'),
        ("span_object_without_value", "has no value", labels() + '<Text name="t"/>'),
        ("span_tags_do_not_fit", "HyperTextLabels needs HyperText", labels(tag="HyperTextLabels") + TEXT),
        ("span_tags_do_not_fit", "use ParagraphLabels with Para", labels() + '<Paragraphs name="t" value="$d"/>'),
        ("span_labels_missing", "no labels to mark with", labels(inner="") + TEXT),
        ("span_encoding_unknown", "not known", labels() + '<Text name="t" value="$t" encoding="rot13"/>'),
        ("span_in_repeater", "Repeater", f'<Repeater on="$x">{labels()}{TEXT}</Repeater>'),
    ],
)
def test_what_cannot_be_marked_is_refused_with_a_reason(code: str, words: str, xml: str) -> None:
    config = read_span_config(f"<View>{xml}</View>")
    assert config.controls == ()
    assert [one.code for one in config.refusals] == [code]
    assert words in config.refusals[0].reason
    assert config.refusals[0].reason.isascii() and code in CODES


def test_questions_per_region_without_any_region_are_refused() -> None:
    asked = '<Choices name="c" toName="t" perRegion="true"><Choice value="x"/></Choices>'
    assert [one.code for one in read_span_config(f"<View>{asked}{TEXT}</View>").refusals] == [
        "region_question_without_spans"
    ]
    boxes = '<RectangleLabels name="r" toName="i"><Label value="x"/></RectangleLabels><Image name="i" value="$i"/>'
    assert read_span_config(f"<View>{asked}{boxes}{TEXT}</View>").refusals == ()


def test_what_belongs_to_regions_is_recognised() -> None:
    config = read_span_config(recorded("relations_perregion")["config"])
    assert config.relations == ("founded_by", "date_of")
    assert set(config.questions_by_name) == {"kind", "multi", "note", "sure", "num", "tax", "dt"}
    assert config.questions_by_name["multi"] == RegionQuestion("multi", "choices", "text", "label", ("PER",))
    assert config.others == {"topic": ("choices", ("text",)), "summary": ("textarea", ("text",))}


def test_a_question_in_a_view_for_selected_regions_is_one_per_region() -> None:
    asked = '<View visibleWhen="region-selected"><Choices name="c" toName="t"><Choice value="x"/></Choices></View>'
    assert set(read_span_config(f"<View>{labels()}{TEXT}{asked}</View>").questions_by_name) == {"c"}


def test_attributes_are_read_in_any_case_and_numbers_that_are_none_are_no_limit() -> None:
    xml = labels(
        '<Label value="A" maxusages="2"/><Label value="B"/><Label value="C" maxUsages="many"/>',
        'NAME="l" toname="t" MAXUSAGES="1" Choice="multiple" allowempty="true" SMART="false"',
    )
    text = '<Text name="t" value="$text" saveTextResult="no" GRANULARITY="word" encoding="base64unicode"/>'
    (control,) = read_span_config(f"<View>{xml}{text}</View>").controls
    assert dict(control.most) == {"A": 2, "B": 1, "C": 1}
    assert (control.multiple, control.allow_empty, control.smart) == (True, True, False)
    item = control.object
    assert (item.save_text, item.granularity, item.encoding) == (False, "word", "base64unicode")


def test_a_value_is_known_by_its_alias() -> None:
    (control,) = read_span_config(VARIANTS["alias"]["config"]).controls
    assert control.labels[0] == SpanLabel("PER", "Person & co")
    assert dict(control.names) == {"PER": "PER", "Person & co": "PER", "LOC": "LOC", "Place": "LOC"}


def test_labels_in_the_task_join_those_of_the_config() -> None:
    config = read_span_config(VARIANTS["mixed_dynamic"]["config"])
    data = {"opts": [{"value": "X1", "alias": "x", "maxUsages": "3"}, "X2", {"value": 7}, None, "X2"]}
    (control,) = with_all_task_labels(config, data).controls
    assert [one.name for one in control.labels] == ["FIX", "x", "X2"]
    assert dict(control.most) == {"x": 3}
    assert with_task_labels(config.controls[0], {"opts": "X1"}).labels == config.controls[0].labels
    assert with_task_labels(config.controls[0], None) is config.controls[0]


def test_the_control_of_deciding_words_is_shown_and_not_learned() -> None:
    shown = '<Labels name="evidence" toName="t"><Label value="decided"/></Labels>'
    config = read_span_config(f"<View>{labels()}{shown}{TEXT}</View>")
    assert [one.name for one in config.controls] == ["l"]
    assert config.shown is not None and config.shown.name == "evidence"


def test_paragraph_labels_on_a_text_keep_their_key() -> None:
    (control,) = read_span_config(f"<View>{labels(tag='ParagraphLabels')}{TEXT}</View>").controls
    assert (control.key, control.object.tag) == ("paragraphlabels", "Text")


@pytest.mark.parametrize("xml", ["", "<View", "<!DOCTYPE x [<!ENTITY a 'b'>]><View/>"])
def test_what_is_no_config_is_a_bad_request(xml: str) -> None:
    with pytest.raises(BadRequest):
        read_span_config(xml)
