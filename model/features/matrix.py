"""Features and terms of a pool's texts in one memory-mapped matrix: all of them are answered by matrix products.

The feature cache finds one text quickly; 100,000 look-ups take seconds. Here rows lie side by side, float16, in the
order in which they became known. A directory holds `matrix.json` and the files of one generation: `k.rows`, `k.terms`
and `k.index`, whose records (key, end of the terms, checksum) are written last, after the others are on disk: a record
that is there and checks is a text that is there. Rewriting (to stay within bounds) makes the next generation aside.
"""

from __future__ import annotations

import fcntl
import json
import logging
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

log = logging.getLogger(__name__)

FORMAT = 1
RECORD = np.dtype([("high", "<u8"), ("low", "<u8"), ("end", "<u8"), ("check", "<u8")])
TERM = np.dtype("<u8")
KINDS = ("rows", "terms", "index")

TAIL = 256
"""Last records whose checksums are verified when the files are opened: those that a crash can have torn."""

ROOM = 0.9
"""Share of the bound that is kept when it is reached: room for the next texts."""

COPIED = 4096
"""Rows copied at a time."""

Halves = NDArray[np.float16]
Packed = NDArray[np.uint64]


class FeatureMatrix:
    """Rows [depth, width] by 16-byte key (`text_key`), the same file for all processes of a machine.

    `name` says what features these are (encoder, reading): files of another name, shape or format are begun anew, as
    are damaged ones. Whoever reads sees the rows of its last `refresh`, whatever others write meanwhile."""

    def __init__(self, path: Path, name: str, depth: int, width: int, max_mb: int) -> None:
        self.path, self.name, self.depth, self.width = path, name, depth, width
        self._bytes = max_mb << 20
        self._row_bytes = 2 * depth * width
        path.mkdir(parents=True, exist_ok=True)
        self.refresh()

    def __len__(self) -> int:
        return self.count

    def refresh(self) -> None:
        """Look at what is on disk now."""
        with self._locked():
            self._open()

    def rows(self, start: int, stop: int) -> Halves:
        """Features of a range of rows, float16 [n, depth, width]: a view of the file."""
        return self._rows[start:stop]

    def terms(self, start: int, stop: int) -> tuple[Packed, NDArray[np.int64]]:
        """Packed terms of a range of rows, and where each row's end in them: `HashedVocabulary.matrix` takes both."""
        first = int(self._ends[start])
        return self._terms[first : int(self._ends[stop])], self._ends[start : stop + 1] - first

    def gather(self, places: NDArray[np.int64]) -> Halves:
        """Features of any rows, float16 [n, depth, width]: a copy."""
        return self._rows[places]

    def keys(self) -> list[bytes]:
        """The key of each row."""
        return _keys(self._index)

    def find(self, keys: Sequence[bytes]) -> NDArray[np.int64]:
        """The row of each key [n], -1 where there is none."""
        wanted = np.frombuffer(b"".join(keys), dtype=">u8").reshape(-1, 2).astype(np.uint64)
        if not self.count or not len(keys):
            return np.full(len(keys), -1)
        place = np.minimum(np.searchsorted(self._sorted, wanted[:, 0]), self.count - 1)
        row = self._order[place]
        # 64 bits decide; the other 64 only have to agree.
        same = (self._index["high"][row] == wanted[:, 0]) & (self._index["low"][row] == wanted[:, 1])
        return np.where(same, row, -1)

    def append(self, keys: Sequence[bytes], features: NDArray[Any], terms: Sequence[Packed]) -> int:
        """Add texts that are not there yet; how many were. `features` is [n, depth, width], finite; rounded to float16.

        The oldest make room when the bound is reached. Raises OSError when the disk is full."""
        with np.errstate(over="ignore"):
            halves = np.ascontiguousarray(features, dtype=np.float16).reshape(-1, self.depth, self.width)
        if not np.isfinite(halves).all():
            raise ValueError("features: only finite numbers of float16's range can be kept")
        with self._locked():
            self._open()
            known = self.find(keys)
            fresh = {key: row for row, key in enumerate(keys) if known[row] < 0}
            chosen = list(fresh.values())[-self._most(terms) :]
            self._make_room([terms[row] for row in chosen])
            self._write([keys[row] for row in chosen], halves[chosen], [terms[row] for row in chosen])
            self._open()
        return len(chosen)

    def retain(self, rows: NDArray[np.int64]) -> None:
        """Keep these rows of the last `refresh` alone, in their order: the pool has lost the others."""
        with self._locked():
            self._rewrite(rows)
            self._open()

    # -- files ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.path / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _file(self, kind: str) -> Path:
        return self.path / f"{self.generation}.{kind}"

    def _open(self) -> None:
        """Map what is sound of the present generation, or begin a new one."""
        self.generation = self._read_meta()
        index = _mapped(self._file("index"), RECORD, None)
        rows = _size(self._file("rows")) // self._row_bytes
        terms = _size(self._file("terms")) // TERM.itemsize
        ends = np.concatenate([[0], index["end"].astype(np.int64)])
        ordered = (np.diff(ends) >= 0) & (ends[1:] <= terms) & (np.arange(len(index)) < rows)
        count = len(index) if ordered.all() else int(ordered.argmin())
        if len(index) - count > TAIL:  # more than a crash tears
            log.warning("feature matrix %s is damaged: begun anew", self.path.name)
            self.generation = self._begin(self.generation)
            return self._open()
        self._rows = _mapped(self._file("rows"), np.dtype(np.float16), count * self._row_bytes // 2)
        self._rows = self._rows.reshape(count, self.depth, self.width)
        self._terms = _mapped(self._file("terms"), TERM, int(ends[count]))
        self._index, self._ends = index, ends
        self.count = self._sound(count)
        self._index, self._ends = index[: self.count], ends[: self.count + 1]
        self._order = np.argsort(self._index["high"], kind="stable")
        self._sorted = self._index["high"][self._order]

    def _sound(self, count: int) -> int:
        """Up to where the last records' checksums are right."""
        for row in range(max(0, count - TAIL), count):
            record = self._index[row]
            packed = self._terms[self._ends[row] : self._ends[row + 1]]
            if int(record["check"]) != _checksum(int(record["high"]), int(record["low"]), self._rows[row], packed):
                log.warning("feature matrix %s: cut after %s of %s rows", self.path.name, row, count)
                return row
        return count

    def _read_meta(self) -> int:
        try:
            found = json.loads((self.path / "matrix.json").read_text(encoding="utf-8"))
            generation = int(found.pop("generation"))
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            found, generation = None, 0
        if found == self._facts():
            return generation
        return self._begin(generation)

    def _facts(self) -> dict[str, Any]:
        return {"format": FORMAT, "name": self.name, "depth": self.depth, "width": self.width}

    def _begin(self, generation: int) -> int:
        """An empty generation of its own, so that who still reads the old one goes on."""
        numbers = [int(file.stem) for file in self.path.glob("*.index") if file.stem.isdigit()]
        generation = max([generation, *numbers]) + 1
        self._publish(generation)
        return generation

    def _publish(self, generation: int) -> None:
        aside = self.path / "matrix.json.new"
        aside.write_text(json.dumps({**self._facts(), "generation": generation}), encoding="utf-8")
        os.replace(aside, self.path / "matrix.json")
        for file in self.path.iterdir():
            if file.suffix[1:] in KINDS and file.stem != str(generation):
                file.unlink(missing_ok=True)

    # -- writing -------------------------------------------------------------------------------------------------

    def _size_of(self, rows: int, terms: int) -> int:
        return rows * (self._row_bytes + RECORD.itemsize) + terms * TERM.itemsize

    def _most(self, terms: Sequence[Packed]) -> int:
        """How many of the last texts fit into an empty matrix; one at least."""
        sizes = np.cumsum([self._size_of(1, len(packed)) for packed in reversed(terms)])
        return max(1, int(np.searchsorted(sizes, self._bytes * ROOM, side="right")))

    def _make_room(self, terms: Sequence[Packed]) -> None:
        """Drop as many of the oldest as keep the whole within its bound."""
        more = self._size_of(len(terms), sum(map(len, terms)))
        if self._size_of(self.count, int(self._ends[-1])) + more <= self._bytes:
            return
        left = self._ends[-1] - self._ends  # terms of the rows from each on
        sizes = (self.count - np.arange(self.count + 1)) * self._size_of(1, 0) + left * TERM.itemsize
        fits = sizes + more <= max(self._bytes * ROOM, more)
        self._rewrite(np.arange(int(fits.argmax()), self.count))
        self._open()

    def _write(self, keys: Sequence[bytes], halves: Halves, terms: Sequence[Packed]) -> None:
        """Append; what a crash has left behind the last sound row is cut first."""
        if not len(keys):
            return
        records = np.zeros(len(keys), RECORD)
        pairs = np.frombuffer(b"".join(keys), dtype=">u8").reshape(-1, 2)
        records["high"], records["low"] = pairs[:, 0], pairs[:, 1]
        records["end"] = self._ends[-1] + np.cumsum([len(packed) for packed in terms])
        for record, row, packed in zip(records, halves, terms, strict=True):
            record["check"] = _checksum(int(record["high"]), int(record["low"]), row, packed)
        everything = np.concatenate([*terms, np.zeros(0, TERM)]).astype(TERM)
        _extend(self._file("index"), self.count * RECORD.itemsize, b"")
        _extend(self._file("rows"), self.count * self._row_bytes, halves.tobytes())
        _extend(self._file("terms"), int(self._ends[-1]) * TERM.itemsize, everything.tobytes())
        _extend(self._file("index"), self.count * RECORD.itemsize, records.tobytes())

    def _rewrite(self, rows: NDArray[np.int64]) -> None:
        """These rows as the next generation."""
        old, ends, index = (self._rows, self._terms), self._ends, self._index
        before = self.generation
        self.generation, self.count, self._ends = before + 1, 0, np.zeros(1, np.int64)
        for kind in KINDS:  # of a rewriting that a crash has ended
            self._file(kind).unlink(missing_ok=True)
        for start in range(0, len(rows), COPIED):
            part = rows[start : start + COPIED]
            terms = [old[1][ends[row] : ends[row + 1]] for row in part]
            self._write(_keys(index[part]), old[0][part], terms)
            self.count += len(part)
            self._ends = np.array([int(self._ends[-1]) + sum(map(len, terms))])
        self._publish(self.generation)


def _checksum(high: int, low: int, row: Halves, packed: Packed) -> int:
    digest = xxhash.xxh3_64(high.to_bytes(8, "big") + low.to_bytes(8, "big"))
    digest.update(np.ascontiguousarray(row).tobytes())
    digest.update(packed.tobytes())
    return digest.intdigest()


def _keys(records: NDArray[Any]) -> list[bytes]:
    pairs = np.stack([records["high"], records["low"]], axis=1).astype(">u8").tobytes()
    return [pairs[place : place + 16] for place in range(0, len(pairs), 16)]


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


def _mapped(file: Path, dtype: np.dtype, items: int | None) -> NDArray[Any]:
    """The first `items` of a file (None: all whole ones) as an array that is read from disk when it is looked at."""
    items = _size(file) // dtype.itemsize if items is None else items
    if not items:
        return np.zeros(0, dtype)
    with file.open("rb") as handle:
        mapped = mmap.mmap(handle.fileno(), items * dtype.itemsize, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, dtype=dtype, count=items)


def _extend(file: Path, start: int, data: bytes) -> None:
    """Cut the file at `start`, append, and wait until the disk has it."""
    with file.open("ab") as handle:
        handle.truncate(start)
        handle.write(data)
        handle.flush()
        os.fdatasync(handle.fileno())
