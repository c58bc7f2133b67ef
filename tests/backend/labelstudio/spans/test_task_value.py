"""What the page makes of a task's data; the numbers were compared with a JavaScript engine's."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from backend.errors import Undecidable
from backend.labelstudio.spans.task_value import decoded, javascript_string, look_up, shown_value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Ada", "Ada"),
        (True, "true"),
        (False, "false"),
        (["Ada", "Bob"], "Ada,Bob"),
        ([1, [2, None, True]], "1,2,,true"),
        ([], ""),
        (12345, "12345"),
        (1.0, "1"),
        (1.5, "1.5"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e21, "1e+21"),
        (1e20, "100000000000000000000"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1.5e-7, "1.5e-7"),
        (123456789012345678901234, "1.2345678901234569e+23"),
        (12345678901234567890, "12345678901234567000"),
        (10**400, "Infinity"),
        (-2.5, "-2.5"),
        (5e-324, "5e-324"),
        (float("nan"), "NaN"),
    ],
)
def test_a_value_is_a_string_as_in_javascript(value: Any, text: str) -> None:
    assert javascript_string(value) == text


@pytest.mark.parametrize("value", [None, {}, [{}], [["a", {"b": 1}]]])
def test_objects_hold_no_text(value: Any) -> None:
    with pytest.raises(Undecidable):
        javascript_string(value)


def test_a_list_that_is_too_deep_holds_no_text() -> None:
    value: Any = "Ada"
    for _ in range(10_000):
        value = [value]
    with pytest.raises(Undecidable):
        javascript_string(value)


DATA = {"text": "Ada", "doc": {"body": {"text": "Bob"}}, "docs": [{"text": "x"}, {"text": "y"}], "a.b": 1, "no": None}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("$text", "Ada"),
        ("$doc.body.text", "Bob"),
        ("$docs[1].text", "y"),
        ("$a.b", 1),
        ("Say: $text", "Say: Ada"),
        ("$text and $doc.body.text!", "Ada and Bob!"),
        ("$text.", None),
        ("by $text.", "by undefined"),  # the page takes the full stop for a part of the name
        ("by $nope", "by undefined"),
        ("by $no", "by null"),
        ("costs 5$", "costs 5$"),
        ("$docs", DATA["docs"]),
    ],
)
def test_variables_are_those_of_the_page(value: str, shown: Any) -> None:
    if shown is None:
        with pytest.raises(Undecidable):
            shown_value(value, DATA)
    else:
        assert shown_value(value, DATA) == shown


def test_texts_of_before_there_was_a_config_are_found() -> None:
    assert shown_value("$text", {"$undefined$": "Ada"}) == "Ada"


@pytest.mark.parametrize("data", [None, [], "text"])
def test_a_task_without_data_is_undecidable(data: Any) -> None:
    with pytest.raises(Undecidable):
        shown_value("$text", data)


@pytest.mark.parametrize("path", ["docs[9].text", "docs.one", "text.more", "", "."])
def test_a_path_that_leads_nowhere_is_none(path: str) -> None:
    assert look_up(DATA, path) is None


def test_base64_is_bytes_unless_it_is_said_to_be_unicode() -> None:
    coded = base64.b64encode("Ada é 😀".encode()).decode()
    assert decoded(coded, "base64unicode") == "Ada é 😀"
    assert decoded(coded, "base64") == "Ada Ã© ð\x9f\x98\x80"
    assert decoded("QWRhIG1l\ndCBCb2I", "base64") == "Ada met Bob"
    assert decoded("Ada", "none") == "Ada"


@pytest.mark.parametrize(("text", "encoding"), [("a", "base64"), ("é", "base64"), ("/w==", "base64unicode")])
def test_what_cannot_be_decoded_is_undecidable(text: str, encoding: str) -> None:
    with pytest.raises(Undecidable):
        decoded(text, encoding)
