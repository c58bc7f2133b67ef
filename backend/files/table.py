"""Reads the rows of one shard and writes them with their answers, in the format they came in; a few hundred rows are in
memory at a time."""

from __future__ import annotations

from pathlib import Path

from backend.files.batch import OWN, Table
from backend.files.locations import Location
from backend.files.shard import FORMATS, Shard, suffix_of
from backend.files.text_table import TextTable


def open_table(shard: Shard, file: Location, target: Path, prefix: str) -> Table:
    """`prefix`: of the names of OWN."""
    names = tuple(prefix + name for name in OWN)
    if FORMATS[suffix_of(file)] == "parquet":
        from backend.files.parquet_table import ParquetTable

        return ParquetTable(shard, file, target, names)
    return TextTable(shard, file, target, names)
