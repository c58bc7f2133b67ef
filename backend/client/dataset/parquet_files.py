"""Parquet, alone and as a directory that `datasets.load_dataset` reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from backend.client.dataset.columns import Table, Type
from backend.client.dataset.packages import require
from backend.client.dataset.text_files import Add
from backend.client.output_file import scratch_beside, told
from backend.dataset.row import DatasetRow

if TYPE_CHECKING:
    import pyarrow

GROUP_ROWS = 1000
"""Rows of a row group: what is in memory at a time."""


@contextmanager
def write_parquet(path: Path, table: Table) -> Iterator[Add]:
    """Columns with types; lists of texts are lists, other lists and objects JSON. Raises MissingPackage."""
    require("pyarrow", "parquet")
    import pyarrow.parquet as parquet

    schema = _schema(table)
    with scratch_beside(path) as scratch:
        with told(path):
            writer = parquet.ParquetWriter(scratch, schema, compression="zstd")
        held: list[dict[str, object]] = []
        with writer:

            def add(row: DatasetRow) -> None:
                held.append(_plain(table, table.flatten(row)))
                if len(held) >= GROUP_ROWS:
                    _flush(writer, schema, held)

            yield add
            _flush(writer, schema, held)


def _flush(writer: pyarrow.parquet.ParquetWriter, schema: pyarrow.Schema, held: list[dict[str, object]]) -> None:
    import pyarrow

    if held:
        writer.write_table(pyarrow.Table.from_pylist(held, schema=schema))
        held.clear()


def _plain(table: Table, row: Mapping[str, object]) -> dict[str, object]:
    return {
        name: orjson.dumps(value).decode() if table.columns[name] is Type.JSON and value is not None else value
        for name, value in row.items()
    }


def _schema(table: Table) -> pyarrow.Schema:
    import pyarrow

    types = {
        Type.TEXT: pyarrow.string(),
        Type.TEXTS: pyarrow.list_(pyarrow.string()),
        Type.NUMBER: pyarrow.float64(),
        Type.INTEGER: pyarrow.int64(),
        Type.FLAG: pyarrow.bool_(),
        Type.JSON: pyarrow.string(),
    }
    return pyarrow.schema([(name, types[kind]) for name, kind in table.columns.items()])
