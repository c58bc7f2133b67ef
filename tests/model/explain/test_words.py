"""Words of any script as spans; grouping neighbours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.explain.words import find_words, group


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \t\r\n!?… ", []),
        ("Don't re-order: 12.50€, (a@b.org)!", ["Don't", "re-order", "12.50", "a@b.org"]),
        ("naïve cafe\u0301", ["naïve", "cafe\u0301"]),
        ("किताब अच्छी है", ["किताब", "अच्छी", "है"]),
        ("配送が遅いABC", ["配", "送", "が", "遅", "い", "ABC"]),
        ("foo—bar and/or", ["foo", "bar", "and", "or"]),
        ("bad 👍🏽 👨‍👩‍👧 🇩🇪", ["bad", "👍🏽", "👨‍👩‍👧", "🇩🇪"]),
    ],
)
def test_words_of_any_script_are_found(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in find_words(text)] == words


@given(st.text())
def test_spans_are_ascending_disjoint_and_never_empty(text: str) -> None:
    ends = [0]
    for start, end in find_words(text):
        assert ends[-1] <= start < end <= len(text)
        ends.append(end)


@given(st.lists(st.integers()), st.integers(1, 20))
def test_groups_are_runs_of_neighbours_and_about_equal(items: list[int], most: int) -> None:
    groups = group(items, most)
    assert [item for run in groups for item in run] == items
    assert len(groups) == min(most, len(items))
    lengths = {len(run) for run in groups}
    assert not lengths or (min(lengths) >= 1 and max(lengths) - min(lengths) <= 1)
