"""Words and spans of words: every script, nothing lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.span import Span
from model.spans.chain.tags import WordSpan
from model.spans.words import apart, find_words, to_characters, to_words, word_spans


def words_of(text: str) -> list[str]:
    return [text[start:end] for start, end in find_words(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Smith's 3.5-inch", ["Smith", "'", "s", "3", ".", "5", "-", "inch"]),
        ("cafe\u0301 naïve", ["cafe\u0301", "naïve"]),
        ("日本語 ok", ["日", "本", "語", "ok"]),
        ("👩‍👩‍👧!", ["👩‍👩‍👧", "!"]),
        ("שלום עולם", ["שלום", "עולם"]),
        (" \r\n\t", []),
        ("", []),
    ],
)
def test_words_are_the_smallest_units_that_people_mark(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@given(st.text(max_size=60))
def test_every_visible_character_is_in_one_word(text: str) -> None:
    bounds = find_words(text)
    covered = [place for start, end in bounds for place in range(start, end)]
    assert len(covered) == len(set(covered))
    assert "".join(text[place] for place in covered) == "".join(
        c for c in text if not c.isspace() or c in "\x1c\x1d\x1e\x1f"
    )


@given(st.text(alphabet="ab é日.👍 \n", min_size=1, max_size=30), st.data())
def test_a_span_of_whole_words_comes_back_to_the_character(text: str, data: st.DataObject) -> None:
    bounds = find_words(text)
    if not bounds:
        return
    first = data.draw(st.integers(0, len(bounds) - 1))
    last = data.draw(st.integers(first, len(bounds) - 1))
    span = to_characters(bounds, WordSpan(first, last, "x"))
    assert to_words(bounds, span) == WordSpan(first, last, "x")


def test_half_words_and_blanks_are_widened_to_words() -> None:
    bounds = find_words("  New York  City")
    assert to_words(bounds, Span(1, 4, "x")) == WordSpan(0, 0, "x")
    assert to_words(bounds, Span(4, 12, "x")) == WordSpan(0, 1, "x")
    assert to_words(bounds, Span(10, 12, "x")) is None
    assert word_spans(bounds, [Span(12, 16, "b"), Span(10, 12, "b"), Span(2, 5, "a")]) == [
        WordSpan(0, 0, "a"),
        WordSpan(2, 2, "b"),
    ]


def test_of_overlapping_spans_the_longest_stays() -> None:
    spans = [WordSpan(0, 1, "a"), WordSpan(1, 3, "b"), WordSpan(3, 3, "c"), WordSpan(5, 5, "d")]
    assert apart(spans) == [WordSpan(1, 3, "b"), WordSpan(5, 5, "d")]
