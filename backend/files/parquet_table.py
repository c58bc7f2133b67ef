"""A shard of a parquet file: all columns pass as they are; only those with what is read become Python values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from backend.files.answers import RowAnswer
from backend.files.batch import BATCH_ROWS, Batch, cell_of
from backend.files.locations import Location, open_to_read
from backend.files.shard import Shard

if TYPE_CHECKING:
    from pyarrow import RecordBatch
    from pyarrow.parquet import ParquetFile

BUFFER_BYTES = 1 << 20
"""Of each column that are read ahead: row groups may be as large as the file."""


class ParquetTable:
    """A table (table.py) over pyarrow."""

    def __init__(self, shard: Shard, file: Location, target: Path, names: Sequence[str]) -> None:
        self._shard, self._file, self._target, self._names = shard, file, target, names
        self._opened = ExitStack()

    def __enter__(self) -> ParquetTable:
        import pyarrow
        from pyarrow import parquet

        source = self._opened.enter_context(open_to_read(self._file))
        self._source: ParquetFile = parquet.ParquetFile(source, buffer_size=BUFFER_BYTES, pre_buffer=False)
        self._opened.callback(self._source.close)
        types = (pyarrow.string(), pyarrow.float64(), pyarrow.string())
        self._fields = [pyarrow.field(name, kind) for name, kind in zip(self._names, types, strict=True)]
        schema = pyarrow.schema([*self._source.schema_arrow, *self._fields], self._source.schema_arrow.metadata)
        self._written = self._opened.enter_context(parquet.ParquetWriter(self._target, schema))
        self._schema = schema
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._opened.close()

    def batches(self) -> Iterator[Batch]:
        number = self._shard.row
        for part in self._rows():
            self._kept = part
            yield Batch(range(number, number + part.num_rows), part.to_pylist())
            number += part.num_rows

    def _rows(self) -> Iterator[RecordBatch]:
        """Those of [start, stop), from the row groups that hold them."""
        start, stop, first = self._shard.start, self._shard.stop, 0
        for group in range(self._source.num_row_groups):
            behind = first + self._source.metadata.row_group(group).num_rows
            if first < stop and behind > start:
                for batch in self._source.iter_batches(BATCH_ROWS, row_groups=[group], use_threads=False):
                    low, high = max(start - first, 0), min(stop - first, batch.num_rows)
                    if low < high:
                        yield batch.slice(low, high - low)
                    first += batch.num_rows
                    if first >= stop:
                        return
            first = behind

    def write(self, batch: Batch, answers: Sequence[RowAnswer], version: str) -> None:
        import pyarrow

        columns = ([cell_of(own.answer) for own in answers], [own.score for own in answers], [version] * len(answers))
        added = [pyarrow.array(column, one.type) for column, one in zip(columns, self._fields, strict=True)]
        self._written.write_batch(
            pyarrow.RecordBatch.from_arrays([*self._kept.columns, *added], schema=self._schema), row_group_size=None
        )
