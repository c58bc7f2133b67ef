"""One thread makes a part, everybody who wants the same gets it; what is kept is bounded."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.ui.fragments import KEPT_BYTES, KEPT_FRAGMENTS, Fragments, Key


def test_a_part_is_made_once_for_all_who_ask_at_the_same_news() -> None:
    fragments, made, barrier = Fragments(), list[int](), threading.Barrier(8)
    begun, go_on = threading.Event(), threading.Event()

    def make() -> bytes:
        made.append(1)
        begun.set()
        go_on.wait(120)
        return b"part"

    def ask() -> bytes:
        barrier.wait()
        return fragments.get(Key("/ui?", "n1"), make)

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask) for _ in range(8)]
        assert begun.wait(120)
        go_on.set()
        assert {one.result() for one in asked} == {b"part"}
    assert made == [1]
    assert fragments.get(Key("/ui?", "n1"), lambda: b"another") == b"part"


def test_other_news_and_another_address_are_another_part() -> None:
    fragments = Fragments()
    for key, part in ((Key("/a?", "1"), b"1"), (Key("/a?", "2"), b"2"), (Key("/b?", "1"), b"3")):
        assert fragments.get(key, lambda part=part: part) == part  # type: ignore[misc]


def test_a_failure_is_told_to_whoever_made_it_and_kept_by_nobody() -> None:
    fragments, begun, go_on = Fragments(), threading.Event(), threading.Event()
    key = Key("/ui?", "n1")

    def fail() -> bytes:
        begun.set()
        go_on.wait(120)
        raise ValueError("no")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(fragments.get, key, fail)
        assert begun.wait(120)
        second = pool.submit(fragments.get, key, lambda: b"part")
        go_on.set()
        with pytest.raises(ValueError, match="no"):
            first.result()
        assert second.result() == b"part"


def test_what_is_kept_is_bounded_in_number_and_size() -> None:
    fragments = Fragments()
    for number in range(3 * KEPT_FRAGMENTS):
        fragments.get(Key(f"/{number}", ""), lambda: b"x")
    assert len(fragments._kept) == KEPT_FRAGMENTS
    part = bytes(KEPT_BYTES // 4)
    for number in range(9):
        fragments.get(Key(f"/large/{number}", ""), lambda: part)
    assert fragments._size <= KEPT_BYTES and sum(map(len, fragments._kept.values())) == fragments._size
