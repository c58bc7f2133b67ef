"""Portions: everything once and in order, none larger than it must be, and none so small that the next would fit."""

from __future__ import annotations

import itertools
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from model.features.cache import CachedEncoder, FeatureCache
from model.texts import BATCH_CHARACTERS, BATCH_TEXTS, bounds_for, portions
from tests.support.encoders import WordsEncoder


class Costly(WordsEncoder):
    """An encoder of this cost a token, on this device."""

    def __init__(self, cost: int, device: str = "cpu") -> None:
        super().__init__()
        self.cost, self.device = cost, device


@given(st.lists(st.integers(0, 2 * BATCH_CHARACTERS), max_size=80))
def test_portions_hold_everything_in_order_within_the_bounds(lengths: list[int]) -> None:
    found = list(portions(lengths, int))
    assert [item for portion in found for item in portion] == lengths
    assert all(1 <= len(portion) <= BATCH_TEXTS for portion in found)
    assert all(len(portion) == 1 or sum(portion) <= BATCH_CHARACTERS for portion in found)
    for portion, following in itertools.pairwise(found):
        assert len(portion) == BATCH_TEXTS or sum(portion) + following[0] > BATCH_CHARACTERS


def test_short_texts_share_a_portion_and_long_ones_stand_alone() -> None:
    assert [len(portion) for portion in portions([100] * 40, int)] == [16, 16, 8]
    assert [len(portion) for portion in portions([9_000] * 3, int)] == [1, 1, 1]


def test_a_portion_is_as_large_as_its_encoder_is_fast() -> None:
    assert bounds_for(Costly(21_233_664)) == (16, round(8000 * 21_000_000 / 21_233_664))
    assert bounds_for(Costly(170_000_000)) == (4, 2000), "but never less than a quarter"
    assert bounds_for(Costly(1_000)) == (BATCH_TEXTS, BATCH_CHARACTERS)
    assert bounds_for(Costly(170_000_000, "cuda:0"))[0] > 10 * BATCH_TEXTS
    assert bounds_for(WordsEncoder()) == (BATCH_TEXTS, BATCH_CHARACTERS), (
        "one that says nothing of its cost is a usual one"
    )


def test_an_encoder_behind_a_cache_costs_what_it_costs(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, 4)
    assert bounds_for(CachedEncoder(Costly(170_000_000), cache)) == (4, 2000)
    assert bounds_for(CachedEncoder(Costly(170_000_000, "cuda:0"), cache))[0] > 10 * BATCH_TEXTS
    cache.close()
