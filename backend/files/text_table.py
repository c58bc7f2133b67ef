"""A shard of CSV or JSON lines, read and written row by row."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

from backend.files.answers import RowAnswer
from backend.files.batch import BATCH_ROWS, Batch, cell_of, to_line
from backend.files.locations import Location, open_to_read
from backend.files.shard import FORMATS, Shard, suffix_of
from backend.files.text_records import Cells, Lines, Record, Unreadable, read_csv, read_header, read_json_lines
from model.spec import JsonObject


class TextTable:
    """CSV and JSON lines."""

    def __init__(self, shard: Shard, file: Location, target: Path, names: Sequence[str]) -> None:
        self._shard, self._file, self._target, self._names = shard, file, target, names
        self._columns: Cells = []
        self._separator = ""
        self._kept: list[Record] = []

    def __enter__(self) -> TextTable:
        self._source: IO[bytes] = open_to_read(self._file)
        suffix = suffix_of(self._file)
        if FORMATS[suffix] == "csv":
            self._columns, self._separator = read_header(Lines(self._source), suffix)
        self._written: IO[str] = self._target.open("w", encoding="utf-8", errors="replace", newline="")
        if self._columns:
            self._row_writer().writerow([*self._columns, *self._names])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._written.close()
        self._source.close()

    def batches(self) -> Iterator[Batch]:
        self._source.seek(self._shard.start)
        lines = Lines(self._source, self._shard.start, self._shard.stop)
        records = read_csv(lines, self._separator) if self._columns else read_json_lines(lines)
        self._kept, numbers, unreadable = [], [], {}
        for number, record in enumerate(records, self._shard.row):
            if reason := self._why_not(record):
                unreadable[number] = reason
            elif record is not None:
                self._kept.append(record)
                numbers.append(number)
            if len(numbers) + len(unreadable) >= BATCH_ROWS:
                yield Batch(numbers, [self._as_task(one) for one in self._kept], unreadable)
                self._kept, numbers, unreadable = [], [], {}
        if numbers or unreadable:
            yield Batch(numbers, [self._as_task(one) for one in self._kept], unreadable)

    def _why_not(self, record: Record) -> str:
        if isinstance(record, Unreadable):
            return str(record)
        if isinstance(record, list) and len(record) > len(self._columns):
            return f"{len(record)} cells, but the first line names {len(self._columns)} columns"
        if isinstance(record, dict) and (taken := [name for name in self._names if name in record]):
            return f"it has a key {taken[0]!r} already: give another name with --prefix"
        return ""

    def _as_task(self, record: Record) -> JsonObject:
        if isinstance(record, list):
            return dict(zip(self._columns, [*record, *[""] * (len(self._columns) - len(record))], strict=True))
        assert isinstance(record, dict)
        data = record.get("data")
        return data if isinstance(data, dict) else record

    def write(self, batch: Batch, answers: Sequence[RowAnswer], version: str) -> None:
        if self._columns:
            padding = [""] * len(self._columns)
            self._row_writer().writerows(
                [*record, *padding[len(record) :], cell_of(own.answer), "" if own.score is None else own.score, version]
                for record, own in zip(self._kept, answers, strict=True)
                if isinstance(record, list)
            )
            return
        answer, score, by = self._names
        for record, own in zip(self._kept, answers, strict=True):
            assert isinstance(record, dict)
            self._written.write(to_line({**record, answer: own.answer, score: own.score, by: version}))

    def _row_writer(self) -> _Writer:
        return csv.writer(self._written, lineterminator="\n", delimiter=self._separator)


class _Writer(Protocol):
    """What csv.writer gives."""

    def writerow(self, row: Sequence[object], /) -> object: ...

    def writerows(self, rows: Iterator[Sequence[object]], /) -> object: ...
