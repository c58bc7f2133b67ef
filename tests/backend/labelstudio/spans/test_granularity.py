"""Spans drawn out as the page draws out a selection."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from backend.labelstudio.spans.granularity import snapped

TEXT = "Ada met Bob in New York City, near St. Paul. Then she left."


@pytest.mark.parametrize(
    ("granularity", "part", "whole"),
    [
        ("symbol", "ew Yor", "ew Yor"),
        ("symbol", " York ", "York"),
        ("word", "ew Yor", "New York"),  # as recorded
        ("word", "York", "York"),
        ("word", " York ", "York"),
        ("sentence", "met Bob", "Ada met Bob in New York City, near St."),  # as recorded, its blank aside
        ("sentence", "hen she", "Then she left."),  # as recorded
        ("paragraph", "Bob", TEXT),  # as recorded
        ("nonsense", "ew Yor", "ew Yor"),
    ],
)
def test_a_part_becomes_the_whole(granularity: str, part: str, whole: str) -> None:
    start = TEXT.index(part)
    found = snapped(TEXT, start, start + len(part), granularity)
    assert found is not None and TEXT[slice(*found)] == whole


@pytest.mark.parametrize(
    ("text", "part", "whole"),
    [
        ("it isn't so", "sn", "isn't"),
        ("Zürich", "ric", "Zürich"),
        ("a 3.14 b", "1", "3.14"),
        ("naïve café", "caf", "café"),
    ],
)
def test_words_are_those_of_unicode(text: str, part: str, whole: str) -> None:
    start = text.index(part)
    found = snapped(text, start, start + len(part), "word")
    assert found is not None and text[slice(*found)] == whole


def test_paragraphs_end_with_their_lines() -> None:
    text = "one two\nthree four\r\nfive"
    found = snapped(text, 10, 12, "paragraph")
    assert found is not None and text[slice(*found)] == "three four"


@given(
    st.text(max_size=60),
    st.integers(0, 60),
    st.integers(0, 60),
    st.sampled_from(["word", "sentence", "paragraph", "symbol"]),
)
def test_a_span_only_grows_and_stays_when_it_is_whole(text: str, start: int, end: int, granularity: str) -> None:
    start, end = min(start, len(text)), min(end, len(text))
    if start >= end:
        return
    found = snapped(text, start, end, granularity)
    if found is None:
        assert not text[start:end].strip()
        return
    bare = text[start:end].strip()
    assert bare in text[slice(*found)]
    assert snapped(text, *found, granularity) == found


@pytest.mark.parametrize("text", ["我来了。你走了！好吧", "यह है। वह है। ठीक", "متى؟ الآن! نعم", "ខ្ញុំ។អ្នក។ល្អ"])
def test_sentences_end_as_the_language_ends_them(text: str) -> None:
    second = [part for part in regex.split(r"(?<=[。！।؟!។])\s*", text) if part][1]
    start = text.index(second)
    found = snapped(text, start + 1, start + 2, "sentence")
    assert found is not None and text[slice(*found)] == second
