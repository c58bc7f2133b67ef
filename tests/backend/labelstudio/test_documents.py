"""Task data becomes plain texts: what a text may be, where it is found, and why a task cannot be answered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import Undecidable
from backend.labelstudio.documents import read_document, read_text
from backend.labelstudio.task_spec import parse_label_config
from backend.labelstudio.text.object_text import clean
from model.spec import Input, TaskSpec
from tests.support.label_configs import CONFIGS, TASKS, UNSUPPORTED, control, one_input

FIRST = {
    "hypertext": {"h": "hi & ho"},
    "paragraphs": {"p": "X: hi\nY: ho"},
    "pair": {"t1": "a", "t2": "b"},
    "static_value": {"text": "Text is a"},
    "per_region": {"text.page": "some text"},
}


def text(data: Any, value: str = "$text", tag: str = "Text", **more: str) -> str:
    return read_document(one_input(tag, value, **more), data)[0]["text"]


@pytest.mark.parametrize("case", [case for case, tasks in TASKS.items() if tasks and case not in UNSUPPORTED])
def test_the_recorded_task_of_each_config_is_read(case: str) -> None:
    spec = parse_label_config(CONFIGS[case])
    assert read_document(spec, TASKS[case][0])[0] == FIRST.get(case, {"text": "a"})


def test_every_value_that_label_studio_imports_as_text_is_read() -> None:
    spec = parse_label_config(CONFIGS["single"])
    texts = [read_document(spec, data)[0]["text"] for data in TASKS["single"]]
    assert texts == ["a", "has it", "", "   ", "12345", "list\nof"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"other": "x"}, "'text' is missing"),
        ({}, "'text' is missing"),
        ({"text": None}, "'text' is null"),
        ({"text": {"a": 1}}, "'text' is an object"),
        (None, "no data"),
        ("text", "no data"),
        ([], "no data"),
    ],
)
def test_a_task_without_a_text_is_undecidable_and_says_why(data: Any, reason: str) -> None:
    with pytest.raises(Undecidable, match=reason) as caught:
        text(data)
    assert caught.value.reason == str(caught.value) and caught.value.evidence["field"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", ""), (" ", " "), (0, "0"), (-1.5, "-1.5"), (True, "True"), ([], ""), (["a", 1, None, {}, 2.5], "a\n1\n2.5")],
)
def test_empty_texts_numbers_and_lists_are_texts(value: Any, expected: str) -> None:
    assert text({"text": value}) == expected


def test_a_template_is_filled_from_the_task() -> None:
    assert text({"text": "fine"}, "Text is $text") == "Text is fine"
    assert text({"a": "x", "b": {"c": 3}}, "$a and $b.c") == "x and 3"
    assert text({}, "no reference at all") == "no reference at all"


def test_a_template_with_a_missing_field_is_undecidable() -> None:
    with pytest.raises(Undecidable, match="'title' is missing"):
        text({"text": "fine"}, "$title: $text")


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("$message.body", {"message": {"body": "here"}}),
        ("$message.body", {"message.body": "here", "message": {"body": "not here"}}),
        ("$turns[1].text", {"turns": [{}, {"text": "here"}]}),
        ("$a.b.c[0][1]", {"a": {"b": {"c": [["", "here"]]}}}),
        (" $text ", {"text": "here"}),
        ("$数", {"数": "here"}),
        ("$text", {"$undefined$": "here"}),
    ],
)
def test_a_field_is_found_at_its_path(value: str, data: Any) -> None:
    assert text(data, value) == "here"


@pytest.mark.parametrize("value", ["$a.x", "$a[2]", "$a[99999999999999]", "$a[٣]", "$a[0].b.c"])
def test_a_path_that_leads_nowhere_is_undecidable(value: str) -> None:
    with pytest.raises(Undecidable, match="is missing"):
        text({"a": [{"b": "text"}, "c"]}, value)


def test_hypertext_is_read_as_people_see_it() -> None:
    html = "<head><title>t</title></head><style>p{}</style><p>One &amp; <b>two</b></p><script>x()</script>three"
    assert text({"text": html}, tag="HyperText") == "One & two\nthree"


def test_tags_in_a_plain_text_stay() -> None:
    assert text({"text": "<b>a</b> &amp;"}) == "<b>a</b> &amp;"


def test_paragraphs_are_lines_with_their_authors() -> None:
    turns = [{"who": "Ann", "said": "hi"}, {"said": "no name"}, {"who": "", "said": 7}, {"who": "Bob"}, "bare", None]
    spoken = text({"text": turns}, tag="Paragraphs", name_key="who", text_key="said")
    assert spoken == "Ann: hi\nno name\n7\nbare"


def test_paragraphs_may_be_one_string_or_none() -> None:
    assert text({"text": "a dialogue"}, tag="Paragraphs") == "a dialogue"
    assert text({"text": []}, tag="Paragraphs") == ""


def test_paragraphs_without_the_text_key_are_undecidable() -> None:
    with pytest.raises(Undecidable, match="no 'text' in any paragraph"):
        text({"text": [{"author": "A", "words": "x"}]}, tag="Paragraphs")


@pytest.mark.parametrize(
    ("dirty", "expected"),
    [
        ("a\0b", "a b"),
        ("a\ud800b", "a\ufffdb"),
        ("\udc00", "\ufffd"),
        ("x\udbff", "x\ufffd"),
        ("\ud83d\ude00", "😀"),
        ("é日本😀", "é日本😀"),
    ],
)
def test_what_utf_8_and_stores_refuse_is_replaced(dirty: str, expected: str) -> None:
    assert clean(dirty) == text({"text": dirty}) == expected


@pytest.mark.parametrize("tag", ["Text", "HyperText", "Paragraphs"])
@pytest.mark.parametrize("value", ["$text", "$text$text"])
def test_a_text_of_a_megabyte_is_cut(tag: str, value: str) -> None:
    item = Input("text", tag, value)
    assert read_text(item, {"text": "wörd," * 200_000}, 1_000) == "wörd," * 200
    assert len(read_text(item, {"text": "x" * 1_000_000})) == 100_000


def test_a_pair_needs_both_texts() -> None:
    spec = parse_label_config(CONFIGS["pair"])
    with pytest.raises(Undecidable, match="'second' is missing"):
        read_document(spec, {"first": "a"})


def test_one_readable_control_is_enough() -> None:
    inputs = (Input("a", "Text", "$a"), Input("b", "Text", "$b"))
    spec = TaskSpec(inputs, (control("one", "X", "Y", inputs=("a",)), control("two", "X", "Y", inputs=("b",))))
    assert read_document(spec, {"b": "there", "a": None}) == ({"b": "there"}, {})


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=200)
@given(PLAIN, st.sampled_from(["Text", "Paragraphs"]), st.sampled_from(["$text", "is $text.a", "$text[0].text"]))
def test_any_task_is_a_clean_text_or_undecidable(value: Any, tag: str, where: str) -> None:
    try:
        found = text({"text": value}, where, tag)
    except Undecidable as error:
        assert error.reason
        return
    assert "\0" not in found and found.encode("utf-8").decode("utf-8") == found
