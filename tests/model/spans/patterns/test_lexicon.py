"""Where patterns match: words and not letters, whatever script and case, the longest first, in linear time."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.spans.patterns.lexicon import Lexicon, build_lexicon, read_lexicon, unpack_lexicon
from model.spans.patterns.pattern import Pattern
from model.spans.words import find_words


def found(lexicon: Lexicon, text: str) -> list[tuple[str, str]]:
    bounds = find_words(text)
    return [(text[bounds[m.first][0] : bounds[m.last][1]], m.label) for m in lexicon.find(text, bounds)]


def strings(*texts: str, label: str = "L", ignore_case: bool = False) -> Lexicon:
    return build_lexicon(Pattern(label, text, ignore_case=ignore_case) for text in texts)


def regexes(*texts: str, ignore_case: bool = False) -> Lexicon:
    return build_lexicon(Pattern("L", text, is_regex=True, ignore_case=ignore_case) for text in texts)


def test_strings_match_whole_words_with_whatever_blanks_between() -> None:
    lexicon = strings("New York", "cat", "AT&T")
    text = "New  York, New\nYork and new york: cat concatenate cats AT & T"
    assert found(lexicon, text) == [("New  York", "L"), ("New\nYork", "L"), ("cat", "L"), ("AT & T", "L")]


@pytest.mark.parametrize(
    ("pattern", "text", "hit"),
    [
        ("straße", "In der STRASSE", "STRASSE"),
        ("ΟΔΟΣ", "η οδος", "οδος"),
        ("İstanbul", "İSTANBUL", "İSTANBUL"),
        ("caf\u00e9", "Cafe\u0301 Paris", "Cafe\u0301"),
        ("москва", "МОСКВА", "МОСКВА"),
    ],
)
def test_case_and_composition_do_not_count_where_they_should_not(pattern: str, text: str, hit: str) -> None:
    assert found(strings(pattern, ignore_case=True), text) == [(hit, "L")]


def test_composed_and_decomposed_letters_are_one_and_scripts_without_blanks_match_by_character() -> None:
    assert found(strings("Zu\u0308rich", "東京"), "Zürich 東京都") == [("Zürich", "L"), ("東京", "L")]


def test_of_one_label_the_longest_wins_and_labels_may_overlap() -> None:
    lexicon = build_lexicon(
        [
            Pattern("LOC", "New York"),
            Pattern("LOC", "York"),
            Pattern("ORG", "New York Times"),
            Pattern("LOC", "York Times"),
        ]
    )
    assert found(lexicon, "New York Times") == [("New York", "LOC"), ("New York Times", "ORG")]
    assert found(lexicon, "York Times of York") == [("York Times", "LOC"), ("York", "LOC")]


def test_expressions_match_where_words_begin_and_end() -> None:
    lexicon = regexes(r"\d+(?:[.,]\d+)*\s?(?:mg|kg)", "cat", r"[\p{Lu}]\p{Ll}+ \p{Lu}\p{Ll}+", r" X ")
    text = "Take 2.5 mg, concatenate 33mg by Émile Zola; X ."
    assert found(lexicon, text) == [("2.5 mg", "L"), ("33mg", "L"), ("Émile Zola", "L"), ("X", "L")]
    assert found(regexes("cat", ignore_case=True), "CAT Cat scat") == [("CAT", "L"), ("Cat", "L")]
    assert found(regexes("straße"), "straße"), "beyond ASCII"
    assert found(regexes("😀+"), "a 😀😀 b") == [("😀😀", "L")]


@pytest.mark.parametrize("pattern", [r"\b", r"(?:\b)", "x*y*\\b"])
def test_matches_of_no_characters_are_none(pattern: str) -> None:
    assert found(regexes(pattern), "xy and xyz, y") in ([], [("xy", "L"), ("y", "L")])


def test_anchors_are_those_of_the_text_and_not_of_a_window() -> None:
    words = "word " * 2000
    assert found(regexes("^word"), words) == [("word", "L")]
    assert len(found(regexes(r"word"), words)) == 2000, "none is lost between windows"
    assert found(regexes("word $"), words) == [("word", "L")]
    assert found(regexes(r"\bend\b"), "x" * 3000 + " end " + "y" * 3000) == [("end", "L")]


@pytest.mark.parametrize("text", ["", " ", "\u200b", "\ud800 a", "a\0b"])
def test_odd_texts_match_nothing_and_harm_nobody(text: str) -> None:
    assert found(build_lexicon([Pattern("L", "x"), Pattern("L", "x+", is_regex=True)]), text) == []


def test_a_text_that_was_read_in_part_has_the_matches_of_that_part() -> None:
    lexicon, text = strings("a b", "c"), "a b c a b"
    bounds = find_words(text)
    assert [m[:2] for m in lexicon.find(text, bounds)] == [(0, 1), (2, 2), (3, 4)]
    assert [m[:2] for m in lexicon.find(text, bounds[:4])] == [(0, 1), (2, 2)]
    other = strings("a b", "c")
    assert [m[:2] for m in other.find(text, bounds[:4])] == [(0, 1), (2, 2)]
    assert [m[:2] for m in other.find(text, bounds)] == [(0, 1), (2, 2), (3, 4)], "what was found of less is no answer"


WORDS = st.lists(st.sampled_from(["a", "b", "A", "c", "."]), min_size=1, max_size=4)


@given(st.lists(WORDS, max_size=6), st.lists(st.sampled_from(["a", "b", "A", "c", ".", "d"]), max_size=30))
def test_strings_are_found_as_one_by_one_search_finds_them(patterns: list[list[str]], words: list[str]) -> None:
    text = " ".join(words)
    lexicon = strings(*(" ".join(own) for own in patterns))
    taken: set[int] = set()
    expected = []
    for size in (4, 3, 2, 1):
        for first in range(len(words) - size + 1):
            own = set(range(first, first + size))
            if words[first : first + size] in patterns and not own & taken:
                taken |= own
                expected.append((first, first + size - 1))
    assert [m[:2] for m in lexicon.find(text, find_words(text))] == sorted(expected)


def test_it_comes_back_from_what_is_kept_of_it() -> None:
    lexicon = build_lexicon(
        [
            Pattern("B", "x"),
            Pattern("A", "y", ignore_case=True),
            Pattern("A", "z+", is_regex=True, line=3),
            Pattern("B", "x"),
        ]
    )
    assert lexicon.counts() == {"A": 2, "B": 1}
    again = unpack_lexicon(lexicon.packed())
    assert again == lexicon and again.digest == lexicon.digest and again is unpack_lexicon(lexicon.packed())
    assert build_lexicon(reversed(lexicon.patterns)).digest == lexicon.digest, "the order does not count"
    for array in (np.zeros(3, np.uint8), np.frombuffer(b"", np.uint8)):
        with pytest.raises((ValueError, KeyError, TypeError)):
            unpack_lexicon(array)
    with pytest.raises(ValueError, match="format"):
        read_lexicon('{"format": 2}')


def test_many_strings_in_a_long_text_take_no_longer_than_few_and_hostile_ones_neither() -> None:
    """Bounds of ten times what it takes, in CPU time: other work on the machine must not fail it."""
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdefghij", k=draw.randint(3, 9))) for _ in range(10_000)]
    large = strings(*(" ".join(draw.choices(words, k=draw.randint(1, 4))) for _ in range(20_000)))
    text = " ".join(draw.choices(words, k=15_000))[:100_000]
    bounds = find_words(text)
    began = time.process_time()
    assert len(large.find(text, bounds)) > 500
    assert time.process_time() - began < 10
    nested = strings(*("a " * size for size in range(1, 41)))
    text = "a " * 40_000
    bounds = find_words(text)
    began = time.process_time()
    assert len(nested.find(text, bounds)) == 40_000 // 40
    assert time.process_time() - began < 10


@pytest.mark.parametrize("pattern", ["(a+)+$", "(x+x+)+y", "a[^b]*b|a", "(a|aa)+c|a", "a{1000}", "[ab]*a[ab]{200}c|a"])
def test_no_expression_takes_quadratic_time(pattern: str) -> None:
    lexicon, text = regexes(pattern), "a" * 100_000
    began = time.process_time()
    lexicon.find(text, [(0, len(text))])
    assert time.process_time() - began < 5
