"""Portions: everything once and in order, none larger than it must be, and none so small that the next would fit."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from model.portions import CHARACTERS, TEXTS, portions


@given(st.lists(st.integers(0, 2 * CHARACTERS), max_size=80))
def test_portions_hold_everything_in_order_within_the_bounds(lengths: list[int]) -> None:
    found = list(portions(lengths, int))
    assert [item for portion in found for item in portion] == lengths
    assert all(1 <= len(portion) <= TEXTS for portion in found)
    assert all(len(portion) == 1 or sum(portion) <= CHARACTERS for portion in found)
    for portion, following in itertools.pairwise(found):
        assert len(portion) == TEXTS or sum(portion) + following[0] > CHARACTERS


def test_short_texts_share_a_portion_and_long_ones_stand_alone() -> None:
    assert [len(portion) for portion in portions([100] * 40, int)] == [16, 16, 8]
    assert [len(portion) for portion in portions([9_000] * 3, int)] == [1, 1, 1]
