"""Entries of any size within a bound of bytes."""

from __future__ import annotations

from pathlib import Path

from model.features.varied_cache import VariedCache


def test_the_bound_holds_for_entries_of_all_sizes_and_the_newest_stay(tmp_path: Path) -> None:
    cache = VariedCache(tmp_path, 4)
    sizes = [2_000, 300_000, 40_000, 5, 90_000]
    items = [(f"key {number}".encode(), bytes([number % 256]) * sizes[number % 5]) for number in range(200)]
    for start in range(0, len(items), 8):
        cache.put_many(items[start : start + 8])
    kept = cache.get_many([key for key, _ in items])
    assert kept[-1] == items[-1][1] and kept[0] is None
    total = sum(len(value) for value in kept if value is not None)
    assert 2 << 20 < total <= 4 << 20
    assert cache.bytes() <= 6 << 20
    # What stays is the end of what was written.
    first = next(place for place, value in enumerate(kept) if value is not None)
    assert all(value == item[1] for value, item in zip(kept[first:], items[first:], strict=True))


def test_an_entry_larger_than_the_bound_empties_nothing_else_for_good(tmp_path: Path) -> None:
    cache = VariedCache(tmp_path, 1)
    cache.put_many([(b"small", b"x" * 100)])
    cache.put_many([(b"huge", b"y" * (3 << 20))])
    cache.put_many([(b"next", b"z" * 100)])
    assert cache.get_many([b"next"]) == [b"z" * 100]
