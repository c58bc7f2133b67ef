"""Words by the encoder's own tokenizer, and never a span that is cut."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from backend.client.dataset.words import cut_words, find_words_by, load_tokenizer, longest_apart
from backend.dataset.row import SpanJson
from tests.support.tiny import tiny_base  # noqa: F401


def span(start: int, end: int, label: str = "X") -> SpanJson:
    return SpanJson(start=start, end=end, label=label, text="")


@pytest.fixture(scope="module")
def find(tiny_base: Path) -> Any:  # noqa: F811
    return find_words_by(load_tokenizer(tiny_base))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ann went, to Oslo.", ["Ann", "went", ",", "to", "Oslo", "."]),
        ("東京に行く", ["東", "京", "に", "行", "く"]),
        ("a\u00a0b\n\tc", ["a", "b", "c"]),
        ("", []),
        ("   ", []),
    ],
)
def test_words_are_the_tokenizers(find: Any, text: str, words: list[str]) -> None:
    found = [text[start:end] for start, end in find(text)]
    assert "".join(found) == "".join(words)
    assert all(piece in found or any(piece in one for one in found) for piece in words)


@pytest.mark.parametrize("spans", [[span(2, 5)], [span(0, 1), span(4, 12)], [span(3, 9), span(5, 7)]])
def test_every_span_consists_of_whole_words(find: Any, spans: list[SpanJson]) -> None:
    text = "Annabella went to Oslo-Lufthavn \u200d\U0001f469 today"
    places = cut_words(text, find(text), spans)
    assert places == sorted(places) and all(one[1] <= other[0] for one, other in pairwise(places))
    for one in spans:
        inside = [place for place in places if place[0] < one["end"] and one["start"] < place[1]]
        assert all(one["start"] <= start and end <= one["end"] for start, end in inside)
        seen = "".join(text[start:end] for start, end in inside)
        assert seen == "".join(text[one["start"] : one["end"]].split())


def test_what_the_tokenizer_drops_is_a_word_where_a_span_covers_it() -> None:
    text = "ab \u2603 cd"
    words = [(0, 2), (5, 7)]
    assert cut_words(text, words, [span(3, 4)]) == [(0, 2), (3, 4), (5, 7)]
    assert cut_words(text, words, []) == words
    assert cut_words(text, words, [span(0, 7)]) == [(0, 2), (3, 4), (5, 7)]


def test_of_spans_that_overlap_the_longest_is_kept() -> None:
    spans = [span(0, 3), span(0, 9), span(5, 7), span(9, 12), span(11, 14, "Y")]
    assert [(one["start"], one["end"]) for one in longest_apart(spans)] == [(0, 9), (9, 12)]
