"""The feature matrix: exact, bounded, sound after a crash, shared between processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model.features.matrix import TAIL, FeatureMatrix
from model.numerics.float16 import widen
from model.texts import text_key

DEPTH, WIDTH = 2, 8
OPEN = Callable[..., FeatureMatrix]


@pytest.fixture
def open_matrix(tmp_path: Path) -> OPEN:
    def build(name: str = "encoder", max_mb: int = 8, width: int = WIDTH) -> FeatureMatrix:
        return FeatureMatrix(tmp_path / "matrix", name, DEPTH, width, max_mb)

    return build


def key(number: int) -> bytes:
    return text_key((f"text {number}",))


def row(number: int, width: int = WIDTH) -> np.ndarray:
    values = np.random.default_rng(number).normal(size=(DEPTH, width))
    return values.astype(np.float16).astype(np.float32)


def terms(number: int) -> np.ndarray:
    return np.arange(number % 5, dtype=np.uint64) + np.uint64(number << 20)


def add(matrix: FeatureMatrix, numbers: range, width: int = WIDTH) -> int:
    features = np.stack([row(number, width) for number in numbers])
    return matrix.append([key(n) for n in numbers], features, [terms(n) for n in numbers])


def check(matrix: FeatureMatrix, numbers: range) -> None:
    """These are in the matrix, with their own features and terms, and nothing else is."""
    places = matrix.find([key(number) for number in numbers])
    assert len(matrix) == len(numbers)
    for number, place in zip(numbers, places, strict=True):
        assert np.array_equal(matrix.rows(place, place + 1)[0], row(number).astype(np.float16))
        packed, ends = matrix.terms(place, place + 1)
        assert np.array_equal(packed, terms(number))
        assert ends.tolist() == [0, number % 5]


def test_what_was_added_is_found_after_opening_again(open_matrix: OPEN) -> None:
    matrix = open_matrix()
    assert (add(matrix, range(5)), add(matrix, range(3, 9))) == (5, 4)
    check(matrix, range(9))
    check(open_matrix(), range(9))
    assert open_matrix().find([key(100), key(8)]).tolist() == [-1, 8]
    assert open_matrix().keys() == [key(number) for number in range(9)]


def test_an_empty_matrix_answers(open_matrix: OPEN) -> None:
    matrix = open_matrix()
    assert (len(matrix), matrix.find([key(1)]).tolist(), matrix.find([]).tolist()) == (0, [-1], [])
    assert matrix.append([], np.zeros((0, DEPTH, WIDTH)), []) == 0


def test_a_text_given_twice_is_added_once(open_matrix: OPEN) -> None:
    matrix = open_matrix()
    twice = np.stack([row(1), row(1)])
    assert matrix.append([key(1), key(1)], twice, [terms(1), terms(1)]) == 1
    check(matrix, range(1, 2))


@pytest.mark.parametrize("kind", ["rows", "terms", "index"])
@pytest.mark.parametrize("lost", [1, 7, 40])
def test_a_torn_tail_is_cut_and_written_anew(open_matrix: OPEN, tmp_path: Path, kind: str, lost: int) -> None:
    matrix = open_matrix()
    add(matrix, range(30))
    file = tmp_path / "matrix" / f"{matrix.generation}.{kind}"
    os.truncate(file, file.stat().st_size - lost)
    matrix = open_matrix()
    assert 20 <= len(matrix) < 30
    check(matrix, range(len(matrix)))
    add(matrix, range(35))
    check(open_matrix(), range(35))


def test_a_flipped_bit_at_the_end_is_noticed(open_matrix: OPEN, tmp_path: Path) -> None:
    matrix = open_matrix()
    add(matrix, range(30))
    file = tmp_path / "matrix" / f"{matrix.generation}.rows"
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(bytes(data))
    check(open_matrix(), range(29))


def test_bytes_that_a_dying_writer_left_behind_are_cut(open_matrix: OPEN, tmp_path: Path) -> None:
    matrix = open_matrix()
    add(matrix, range(10))
    for kind in ("rows", "terms"):
        with (tmp_path / "matrix" / f"{matrix.generation}.{kind}").open("ab") as file:
            file.write(b"half a row")
    add(open_matrix(), range(14))
    check(open_matrix(), range(14))


@pytest.mark.parametrize("damage", ["meta", "index", "gone"])
def test_damaged_files_are_begun_anew(open_matrix: OPEN, tmp_path: Path, damage: str) -> None:
    matrix = open_matrix()
    add(matrix, range(TAIL + 50))
    folder = tmp_path / "matrix"
    if damage == "meta":
        (folder / "matrix.json").write_text("{nothing")
    elif damage == "index":
        size = (folder / f"{matrix.generation}.index").stat().st_size
        (folder / f"{matrix.generation}.index").write_bytes(os.urandom(size))
    else:
        (folder / f"{matrix.generation}.rows").unlink()
    again = open_matrix()
    assert len(again) == 0
    add(again, range(3))
    check(open_matrix(), range(3))
    if damage == "meta":
        check(matrix, range(TAIL + 50))  # who has it open goes on reading


def test_features_of_another_encoder_or_shape_do_not_mix(open_matrix: OPEN) -> None:
    add(open_matrix(), range(4))
    assert len(open_matrix("another encoder")) == 0
    add(open_matrix("another encoder"), range(2))
    assert len(open_matrix("another encoder", width=16)) == 0


def test_the_oldest_make_room(open_matrix: OPEN, tmp_path: Path) -> None:
    matrix = open_matrix(max_mb=1, width=1024)  # 4 kB a row
    for start in range(0, 600, 50):
        add(matrix, range(start, start + 50), 1024)
        assert sum(file.stat().st_size for file in (tmp_path / "matrix").iterdir()) <= (1 << 20) + 1000
    assert 150 < len(matrix) < 260
    assert (matrix.find([key(number) for number in range(450, 600)]) >= 0).all()
    assert matrix.find([key(0)]).tolist() == [-1]


def test_a_batch_larger_than_the_bound_keeps_its_end(open_matrix: OPEN) -> None:
    matrix = open_matrix(max_mb=1, width=1024)
    assert 150 < add(matrix, range(600), 1024) < 256
    assert matrix.find([key(599)])[0] == len(matrix) - 1


def test_rows_that_the_pool_has_lost_go(open_matrix: OPEN) -> None:
    matrix, reader = open_matrix(), open_matrix()
    add(matrix, range(20))
    reader.refresh()
    matrix.retain(np.arange(5, 20))
    check(matrix, range(5, 20))
    check(reader, range(20))  # sees the rows of its last refresh
    reader.refresh()
    check(reader, range(5, 20))


def test_two_writers_add_to_one_matrix(open_matrix: OPEN) -> None:
    one, two = open_matrix(), open_matrix()
    add(one, range(4))
    assert add(two, range(2, 6)) == 2
    add(one, range(6, 8))
    check(one, range(8))


def test_numbers_that_float16_cannot_hold_are_refused(open_matrix: OPEN) -> None:
    for value in (np.nan, np.inf, 1e6):
        with pytest.raises(ValueError, match="finite"):
            open_matrix().append([key(1)], np.full((1, DEPTH, WIDTH), value), [terms(1)])
    assert len(open_matrix()) == 0


def test_every_finite_half_is_widened_as_numpy_does() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    assert np.array_equal(widen(halves).view(np.uint32), halves.astype(np.float32).view(np.uint32))
