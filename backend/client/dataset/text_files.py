"""JSON lines and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from backend.client.dataset.columns import Table
from backend.client.output_file import replacing
from backend.dataset.row import DatasetRow

Add = Callable[[DatasetRow], None]
"""Takes one row more."""


@contextmanager
def write_json_lines(path: Path, table: Table) -> Iterator[Add]:
    """Every row as it came: one JSON object a line."""
    with replacing(path) as file:

        def add(row: DatasetRow) -> None:
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))

        yield add


@contextmanager
def write_csv(path: Path, table: Table) -> Iterator[Add]:
    """A header and a row a task, as RFC 4180 has them; lists and objects are JSON."""
    with replacing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text)
        writer.writerow(table.columns)

        def add(row: DatasetRow) -> None:
            writer.writerow([_cell(value) for value in table.flatten(row).values()])

        yield add
        text.flush()
        text.detach()


def _cell(value: object) -> object:
    """Yes and no as JSON has them; nothing is an empty cell."""
    if isinstance(value, bool | list | dict):
        return orjson.dumps(value).decode()
    return value
