"""Files of tasks as people have them: Label Studio's import format and export, JSON lines, CSV and TSV."""

from __future__ import annotations

import csv
import io
import itertools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from backend.client.json_stream import JsonStream, Note
from backend.client.text_stream import read_characters
from backend.errors import BadRequest
from backend.screen import plain
from model.file_formats import is_separator_line, named_separator
from model.spec import Json

Task = Json
"""What the file holds: `{"data": {…}, …}`, or the bare data; anything else is passed on as it is."""

TABLES = {".csv": "", ".tsv": "\t", ".tab": "\t"}
SEPARATORS = ",;\t|"

WRAPPERS = ("tasks", "results", "rows")
"""Keys under which other programs put the list of all rows."""


def read_tasks(file: IO[bytes], source: str, note: Note = lambda what, row: None) -> Iterator[Task]:
    """One task after the other. Raises BadRequest, with the row, for what cannot be read."""
    name = "standard input" if source == "-" else plain(source)
    chunks = read_characters(file, name)
    start = next(chunks, "")
    while start and not start.strip() and (more := next(chunks, "")):
        start = more
    if not start.strip():
        note(f"{name} is empty", 0)
        return
    whole, first = itertools.chain([start], chunks), start.lstrip()[0]
    suffix = Path(source).suffix.lower()
    if suffix in TABLES:
        yield from _read_table(whole, name, TABLES[suffix] or _separator(start), note)
    elif first in "[{":
        yield from _read_json(whole, name, note)
    elif _looks_like_table(start):
        yield from _read_table(whole, name, _separator(start), note)
    else:
        what = "an HTML or XML page" if first == "<" else "neither JSON, JSON lines nor CSV (columns in the first line)"
        raise BadRequest(f"{name} is {what}; it begins with {plain(start.strip()[:30])}", field="file")


def _read_json(chunks: Iterator[str], name: str, note: Note) -> Iterator[Task]:
    values = JsonStream(chunks, name, note).values()
    first = list(itertools.islice(values, 2))
    inside = next((key for key in WRAPPERS if len(first) == 1 and _holds_rows(first[0], key)), "")
    if inside:
        raise BadRequest(f"{name} is one object with the rows under {inside}: the list is needed", field="file")
    yield from first
    yield from values


def _holds_rows(value: Json, key: str) -> bool:
    rows = value.get(key) if isinstance(value, dict) else None
    return isinstance(rows, list) and bool(rows) and all(isinstance(row, dict) for row in rows)


def _looks_like_table(start: str) -> bool:
    lines = list(_lines([start.lstrip()]))
    return len(lines) > 1 and _separator(start) in lines[0] and lines[0][0] not in "<"


def _separator(start: str) -> str:
    header = next(_lines([start.lstrip()]))
    return named_separator(header) or max(SEPARATORS, key=header.count)


def _read_table(chunks: Iterator[str], name: str, separator: str, note: Note) -> Iterator[Task]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    rows = csv.reader(_lines(chunks), delimiter=separator, strict=True)
    try:
        columns = [column.strip() for column in next(row for row in rows if row and not is_separator_line(row))]
        _check_columns(columns, name)
        for row in rows:
            if not row:
                continue
            if len(row) > len(columns):
                said = f"line {rows.line_num}: {len(row)} cells, but the first line names {len(columns)} columns"
                raise BadRequest(f"{name}, {said}: put texts that hold a {_spoken(separator)} in quotes", field="file")
            yield dict(zip(columns, [*row, *[""] * (len(columns) - len(row))], strict=True))
    except csv.Error as error:
        raise BadRequest(f"{name}, line {rows.line_num}: it cannot be read as CSV: {error}", field="file") from error


def _check_columns(columns: list[str], name: str) -> None:
    if "" in columns[1:] or columns == [""]:
        raise BadRequest(f"{name}, line 1: column {columns.index('', len(columns) > 1) + 1} has no name", field="file")
    if twice := next((column for column in columns if columns.count(column) > 1), ""):
        raise BadRequest(f"{name}, line 1: two columns are called {plain(twice)}", field="file")


def _spoken(separator: str) -> str:
    return {",": "comma", ";": "semicolon", "\t": "tab"}.get(separator, separator)


def _lines(chunks: Iterable[str]) -> Iterator[str]:
    """With their ends: a line feed, a carriage return, which old spreadsheets write, or both."""
    rest = ""
    for chunk in chunks:
        lines = list(io.StringIO(rest + chunk, newline=""))
        rest = lines.pop() if lines else ""
        yield from lines
    yield from io.StringIO(rest, newline="")
