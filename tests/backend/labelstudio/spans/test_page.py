"""The text of every recorded object as its page counts it: each mark by mouse is the slice that it names."""

from __future__ import annotations

from typing import Any

import pytest

from backend.errors import Undecidable
from backend.labelstudio.spans.config import read_span_config
from backend.labelstudio.spans.page import NoPlace, read_page, read_pages, trimmed
from tests.support.spans import HTML_CONFIG, INLINE_CONFIG, TEXT_CONFIG, TURNS_CONFIG, opened, recorded

VARIANTS = recorded("config_variants")
TEXTS = recorded("text_offsets")
HTML = recorded("hypertext")
DIALOGUES = {name: case for name, case in recorded("paragraphs").items() if "data" in case}


def squeezed(text: str) -> str:
    return "".join(text.replace("\\n", "").split())


@pytest.mark.parametrize("name", TEXTS)
def test_offsets_of_a_text_are_code_points(name: str) -> None:
    _, pages = opened(TEXT_CONFIG, {"text": TEXTS[name]["text"]})
    for item in TEXTS[name]["webhook_result"]:
        start, end = pages["text"].offsets_of(item["value"])
        assert pages["text"].text[start:end] == item["value"]["text"]
        made = pages["text"].value_of(start, end)
        assert made == {key: value for key, value in item["value"].items() if key != "labels"}


@pytest.mark.parametrize("name", [name for name, case in VARIANTS.items() if case.get("webhook_result")])
def test_marks_under_every_recorded_config_are_slices(name: str) -> None:
    _, pages = opened(VARIANTS[name]["config"], VARIANTS[name]["data"])
    for item in VARIANTS[name]["webhook_result"]:
        page = pages[item["to_name"]]
        start, end = page.offsets_of(item["value"])
        if "text" in item["value"]:
            assert page.text[start:end] == item["value"]["text"]
        if page.html is None:
            assert page.value_of(start, end) == {
                key: item["value"][key] for key in ("start", "end", "text") if key in item["value"]
            }


@pytest.mark.parametrize("name", HTML)
def test_offsets_of_html_are_code_points_over_its_text_nodes(name: str) -> None:
    inline = name.endswith("_div")
    _, pages = opened(INLINE_CONFIG if inline else HTML_CONFIG, {"html": HTML[name]["html"]})
    page = pages["text"]
    if "concat" in HTML[name]:
        assert page.text == HTML[name]["concat"]
    for value in HTML[name]["marks"]:
        start, end = page.offsets_of(value)
        assert (start, end) == (value["globalOffsets"]["start"], value["globalOffsets"]["end"])
        assert squeezed(page.text[start:end]) == squeezed(value["text"])
        old = {key: inner for key, inner in value.items() if key != "globalOffsets"}
        assert page.offsets_of(old) == (start, end), "by its XPath, as annotations of old have it"


@pytest.mark.parametrize("name", HTML)
@pytest.mark.parametrize("form", ["both", "xpath", "bad_xpath_and_global", "empty_xpath_and_global", "numbers"])
def test_every_form_of_a_place_in_html_that_comes_back_is_read(name: str, form: str) -> None:
    _, pages = opened(HTML_CONFIG, {"html": HTML[name]["html"]})
    case = HTML[name].get(form, {"prediction": [], "back": []})
    for sent, back in zip(case["prediction"], case["back"], strict=True):
        assert pages["text"].offsets_of(back) == pages["text"].offsets_of(sent)


def test_global_offsets_alone_come_back_without_a_place() -> None:
    case = HTML["flat"]["global_only"]
    _, pages = opened(HTML_CONFIG, {"html": HTML["flat"]["html"]})
    with pytest.raises(NoPlace) as caught:
        pages["text"].offsets_of(case["back"][0])
    assert caught.value.code == "no_place"


@pytest.mark.parametrize("name", DIALOGUES)
def test_offsets_of_paragraphs_are_a_turn_and_utf16_units(name: str) -> None:
    _, pages = opened(DIALOGUES[name]["config"], {"dialogue": DIALOGUES[name]["data"]})
    page = pages["dlg"]
    for value in DIALOGUES[name]["marks"]:
        start, end = page.offsets_of(value)
        place = {key: value[key] for key in ("start", "end", "startOffset", "endOffset")}
        assert page.value_of(start, end) == place
        if value["start"] == value["end"]:
            assert page.text[start:end] == value["text"]
        else:
            assert page.text[start:end] == "Bob, are you in London?\nYes"


TEXT = read_span_config(TEXT_CONFIG).objects[0]
TURNS = read_span_config(TURNS_CONFIG).objects[0]


@pytest.mark.parametrize("data", [None, [], {}, {"text": None}, {"text": {"a": 1}}, {"text": [{"a": 1}]}])
def test_what_is_no_text_is_undecidable(data: Any) -> None:
    with pytest.raises(Undecidable):
        read_page(TEXT, data)
    config = read_span_config(TEXT_CONFIG)
    pages, reasons = read_pages(config, data)
    assert pages == {} and len(reasons) == 1


@pytest.mark.parametrize("value", [["Hi Ada", "Bob"], "Hi", 7, {"text": "Hi"}, [{"said": "Hi"}], [None]])
def test_turns_that_the_page_cannot_show_are_undecidable(value: Any) -> None:
    with pytest.raises(Undecidable):
        read_page(TURNS, {"dialogue": value})


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({}, "no_place"),
        ({"start": None, "end": 3}, "no_place"),
        ({"start": 0.5, "end": 3}, "no_place"),
        ({"start": True, "end": 3}, "no_place"),
        ({"start": "/text()[1]", "end": "/text()[1]", "startOffset": 0, "endOffset": 3}, "no_place"),
        ({"start": 0, "end": 99}, "outside"),
        ({"start": -1, "end": 2}, "outside"),
        ({"start": 3, "end": 3}, "outside"),
        ({"start": 3, "end": 1}, "outside"),
    ],
)
def test_a_place_that_is_none_is_named(value: dict[str, Any], code: str) -> None:
    with pytest.raises(NoPlace) as caught:
        read_page(TEXT, {"text": "Ada met Bob"}).offsets_of(value)
    assert caught.value.code == code


def test_digits_are_read_as_the_page_reads_them() -> None:
    assert read_page(TEXT, {"text": "Ada met Bob"}).offsets_of({"start": "0", "end": "3"}) == (0, 3)


def test_a_span_is_trimmed_of_white_space() -> None:
    assert trimmed(" from ", 0, 6) == (1, 5)
    assert trimmed("a  b", 1, 3) is None


def test_a_span_of_nothing_but_a_separator_has_no_place() -> None:
    page = read_page(TURNS, {"dialogue": [{"text": "Hi "}, {"text": ""}, {"text": "Ada"}]})
    assert page.text == "Hi \n\nAda"
    assert page.value_of(3, 5) is None
    assert page.value_of(3, 8) == {"start": "2", "end": "2", "startOffset": 0, "endOffset": 3}
    assert page.value_of(0, 4) == {"start": "0", "end": "0", "startOffset": 0, "endOffset": 3}


def test_turns_by_time_stand_as_the_page_sorts_them() -> None:
    item = read_span_config(TURNS_CONFIG.replace("<Paragraphs", '<Paragraphs contextscroll="true"')).objects[0]
    turns = [
        {"text": "c", "start": 3, "end": 4},
        {"text": "a", "start": 1, "end": 2},
        {"text": "b", "start": 1, "end": 3},
    ]
    assert read_page(item, {"dialogue": turns}).text == "a\nb\nc"
