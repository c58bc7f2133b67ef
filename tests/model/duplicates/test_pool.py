"""What of a pool is there again, and what is unlike all others."""

from __future__ import annotations

import numpy as np

from model.duplicates.pool import count_findings, find_duplicates, find_far, find_odd

NAMES = ("text",)


def texts(*found: str) -> list[tuple[str, ...]]:
    return [(text,) for text in found]


def test_later_copies_name_the_first() -> None:
    rows = texts(
        "where is my parcel number 1?", "other", "Where is my parcel number 1?", "where is my parcel number 22"
    )
    found = find_duplicates(NAMES, rows)
    assert [(one.kind, one.row, one.like) for one in found] == [("duplicate", 2, 0), ("near duplicate", 3, 0)]
    assert count_findings(found)["duplicate"] == 1 and count_findings(found)["far"] == 0
    assert not find_duplicates(("a", "b"), [("x", "y"), ("y", "x")])


def test_odd_texts_are_told_by_what_they_are() -> None:
    usual = [f"please send me the invoice of order {number} again" for number in range(120)]
    odd = ["", "...", "ok", "x " * 3000, "пришлите мне счёт ещё раз, пожалуйста", "Перешлите счёт"]
    found = find_odd(texts(*usual, *odd))
    told = [(one.kind, one.row - 120) for one in found]
    assert told == [("empty", 0), ("empty", 1), ("short", 2), ("long", 3), ("script", 4), ("script", 5)]
    assert found[-1].about == "cyrillic"
    assert not find_odd(texts(*usual)) and not find_odd(texts(*odd)), "of few texts nothing is unusual"
    assert not find_odd(texts(*["ok", "no", "hi"] * 20)), "where all are short, none is"


def test_far_texts_are_those_with_no_near_neighbour() -> None:
    random = np.random.default_rng(0)
    centres = random.standard_normal((5, 64))
    near = np.concatenate([centre + 0.3 * random.standard_normal((60, 64)) for centre in centres])
    alone = random.standard_normal((3, 64))
    features = np.concatenate([near, alone]).astype(np.float32)
    found = find_far(features, list(range(1000, 1303)))
    assert {1300, 1301, 1302} == {one.row for one in found} and found[0].value <= found[-1].value
    assert not find_far(features[:10], list(range(10)))
    assert not find_far(np.ones((40, 4)), list(range(40))), "all the same: nothing is far"
