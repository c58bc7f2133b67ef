"""Records of CSV and JSON lines, one after the other, with the bytes they take: whoever cuts a file and whoever reads a
piece of it count alike, whatever stands in it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import IO

import orjson

from model.file_formats import named_separator
from model.spec import Json

LONGEST_LINE = 16 << 20
"""Bytes; a longer line counts as several, which no format can read."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Cells = list[str]


class Unreadable(str):
    """Why a record cannot be read."""


Record = Cells | dict[str, Json] | Unreadable | None
"""None: a blank line."""


class Lines(Iterator[bytes]):
    """Of an open file from where it is; `at`: the bytes behind the last one. Ends at `stop`, where that is given."""

    def __init__(self, file: IO[bytes], at: int = 0, stop: int | None = None) -> None:
        self._file, self.at, self._stop = file, at, stop

    def __next__(self) -> bytes:
        if self._stop is not None and self.at >= self._stop:
            raise StopIteration
        line = self._file.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        self.at += len(line)
        return line


def read_csv(lines: Iterator[bytes], separator: str) -> Iterator[Record]:
    """What stands in quotes may run over several lines; of bytes that are no UTF-8, signs that say so."""
    csv.field_size_limit(LONGEST_LINE)
    rows = csv.reader((line.decode("utf-8", "replace") for line in lines), delimiter=separator)
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Unreadable(f"it cannot be read as CSV: {error}")
            continue
        yield cells or None


def read_json_lines(lines: Iterator[bytes]) -> Iterator[Record]:
    for line in lines:
        if not line.strip():
            yield None
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            yield Unreadable(f"it is no JSON: {error}")
            continue
        yield value if isinstance(value, dict) else Unreadable("it is no JSON object")


def read_header(lines: Lines, suffix: str) -> tuple[Cells, str]:
    """(columns, separator) of a table; afterwards `lines` stands at its first row. Raises ValueError."""
    first = next(lines, b"").removeprefix(BYTE_ORDER_MARK)
    text = first.decode("utf-8", "strict")
    if separator := named_separator(text):
        first = next(lines, b"")
        text = first.decode("utf-8", "strict")
    separator = separator or ("\t" if suffix == ".tsv" else max(",;\t|", key=text.count))
    rows = read_csv(_chained(first, lines), separator)
    cells = next(rows, None)
    if not isinstance(cells, list):
        raise ValueError("the first line names no columns")
    columns = [cell.strip() for cell in cells]
    if twice := next((one for one in columns if columns.count(one) > 1), ""):
        raise ValueError(f"two columns are called {twice!r}")
    return columns, separator


def _chained(first: bytes, lines: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from lines
