"""Labels of a control tag: trees, aliases, hints, stars; generated configs against Label Studio's own reader."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, tostring

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.labelstudio.label_config.labels import STAR_NAMES
from backend.labelstudio.task_spec import parse_label_config
from model.spec import Kind
from tests.support.label_configs import choices, spec_of

TREE = '<Choice value="A"><Choice value="A1"/><Choice value="A2"/></Choice><Choice value="B"/>'


def keys(inner: str, control: str = "") -> tuple[str, ...]:
    return spec_of(inner, control=control).controls[0].keys()


def words(inner: str) -> list[str]:
    return [label.words for label in spec_of(inner).controls[0].labels]


def rated(attributes: str) -> tuple[str, ...]:
    config = f'<View><Text name="t" value="$t"/><Rating name="r" toName="t" {attributes}/></View>'
    return parse_label_config(config).controls[0].keys()


def test_a_choice_listed_twice_is_one_label() -> None:
    assert keys('<Choice value="A"/><Choice value="B"/><Choice value="A"/>') == ("A", "B")


def test_views_and_headers_between_choices_do_not_matter() -> None:
    assert keys('<View><Header value="Pick"/><Choice value="A"/></View><Choice value="B"/>') == ("A", "B")


def test_a_choice_without_value_and_alias_is_passed_over() -> None:
    assert keys('<Choice value=""/><Choice alias="x"/><Choice value="B"/>') == ("x", "B")


def test_aliases_make_up_the_path_and_values_the_words() -> None:
    inner = '<Choice value="Animal" alias="a"><Choice value="Cat" alias="c"/></Choice>'
    labels = spec_of(inner, control='choice="multiple"').controls[0].labels
    assert [(label.key, label.words) for label in labels] == [("a", "Animal"), ("a/c", "Animal / Cat")]


def test_a_hint_and_html_explain_a_label() -> None:
    assert words('<Choice value="A" hint="first letter"/>') == ["A (first letter)"]
    assert words('<Choice value="A" html="&lt;b&gt;the &amp;amp; first&lt;/b&gt;"/>') == ["A (the & first)"]
    assert words('<Choice value="A" hint="A"/>') == ["A"]
    assert words('<Choice alias="77" html="&lt;i&gt;lost&lt;/i&gt;" hint="on the way"/>') == ["lost (on the way)"]
    assert words('<Choice alias="77" hint="on the way"/><Choice alias="78"/>') == ["on the way", "78"]


def test_inner_choices_are_labels_of_multiple_choices() -> None:
    assert keys(TREE, 'choice="multiple" allowNested="true"') == ("A", "A/A1", "A/A2", "B")


def test_a_parent_of_nested_single_choices_is_no_label() -> None:
    control = spec_of(TREE, control='choice="single" allowNested="true"').controls[0]
    assert (control.keys(), control.nested) == (("A/A1", "A/A2", "B"), True)


@pytest.mark.parametrize(("attribute", "expected"), [("", "A A/A1 A/A2 B"), ('leafsOnly="true"', "A/A1 A/A2 B")])
def test_taxonomy_offers_its_parents_unless_only_leaves_count(attribute: str, expected: str) -> None:
    config = f'<View><Text name="t" value="$t"/><Taxonomy name="x" toName="t" {attribute}>{TREE}</Taxonomy></View>'
    control = parse_label_config(config).controls[0]
    assert (" ".join(control.keys()), control.kind) == (expected, Kind.TAXONOMY)


@pytest.mark.parametrize(
    ("attributes", "count"),
    [("", 5), ('maxRating="3"', 3), ('maxRating="100"', 100), ('maxRating="many"', 5), ('maxRating="٣"', 5)],
)
def test_rating_has_one_label_for_each_star(attributes: str, count: int) -> None:
    assert rated(attributes) == tuple(str(star) for star in range(1, count + 1))


def test_stars_are_read_as_praise() -> None:
    for count in (2, 3, 5, 10):
        config = f'<View><Text name="t" value="$t"/><Rating name="r" toName="t" maxRating="{count}"/></View>'
        said = [label.words for label in parse_label_config(config).controls[0].labels]
        assert (said[0], said[-1]) == (STAR_NAMES[0], STAR_NAMES[-1])
        assert [STAR_NAMES.index(words) for words in said] == sorted(STAR_NAMES.index(words) for words in said)


def test_labels_of_the_config_and_of_the_task_add_up() -> None:
    control = spec_of('<Choice value="A"/>', control='value="$message.options"').controls[0]
    assert (control.keys(), control.options_field) == (("A",), "message.options")


def test_tag_names_may_be_written_in_any_case() -> None:
    shouted = '<VIEW><TEXT name="t" value="$t"/><CHOICES name="c" toName="t"><CHOICE value="A"/></CHOICES></VIEW>'
    assert parse_label_config(shouted).controls[0].tag == "Choices"


def test_an_input_that_no_control_reads_is_not_part_of_the_spec() -> None:
    config = choices('<Choice value="A"/>').replace("<View>", '<View><Text name="other" value="$other"/>')
    assert [item.name for item in parse_label_config(config).inputs] == ["text"]


def test_a_control_may_stand_before_its_input() -> None:
    config = '<View><Choices name="c" toName="t"><Choice value="A"/></Choices><Text name="t" value="$t"/></View>'
    assert parse_label_config(config).controls[0].inputs == ("t",)


VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)
TREES = st.lists(st.tuples(VALUES, st.booleans(), st.lists(VALUES, max_size=3)), min_size=1, max_size=5)


@settings(deadline=None, max_examples=40)
@given(TREES, st.booleans())
def test_label_studio_reads_the_same_labels_from_any_tree(
    tree: list[tuple[str, bool, list[str]]], multiple: bool
) -> None:
    from label_studio_sdk.label_interface import LabelInterface

    view = Element("View")
    SubElement(view, "Text", name="text", value="$text")
    control = SubElement(view, "Choices", name="c", toName="text", choice="multiple" if multiple else "single")
    for value, aliased, inner in tree:
        parent = SubElement(control, "Choice", value=value, **({"alias": f"alias {value}"} if aliased else {}))
        for name in inner:
            SubElement(parent, "Choice", value=name)
    config = tostring(view, encoding="unicode")
    ours = [label.path[-1] for label in parse_label_config(config).controls[0].labels]
    # Label Studio keeps one label for equal names in different branches.
    assert list(dict.fromkeys(ours)) == list(LabelInterface(config).get_control("c").labels)


def test_a_text_within_the_tag_is_the_value_and_an_empty_alias_an_answer_of_its_own() -> None:
    inner = (
        '<Choice> Sport &amp; play\n</Choice><Choice value="A"> </Choice><Choice value="B" alias=""/><Choice value=""/>'
    )
    [control] = parse_label_config(choices(inner)).controls
    assert [label.path for label in control.labels] == [("Sport &amp; play",), ("A",), ("",)]
    assert control.labels[2].words == "B" and len(set(control.keys())) == 3
