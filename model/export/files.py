"""The rows of a CSV, JSON lines or parquet file with an answer each, in the same format. Parquet needs pyarrow."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Protocol

ROWS = 256
"""Of a file that are in memory at a time."""

Row = dict[str, object]
Answer = Mapping[str, object]
Cells = tuple[str, object]


class Model(Protocol):
    """What answers: predict.py's."""

    @property
    def spec(self) -> Mapping[str, object]: ...

    def __call__(self, tasks: Sequence[Row]) -> Sequence[Answer]: ...


@dataclass(frozen=True)
class Answerer:
    """Answers rows. `several`: an answer is a list of labels, however many there are."""

    model: Model
    inputs: Sequence[str]
    several: bool

    def answer(self, rows: Sequence[Row], start: int) -> list[Answer | None]:
        """None for a row without a text. `start`: the number of the first row, from 1. Raises ValueError."""
        for number, row in enumerate(rows, start):
            if None in row:
                raise ValueError(f"row {number} has more columns than the first line")
            if "answer" in row:
                raise ValueError(f"row {number} has an `answer` already: rename it")
            if missing := [name for name in self.inputs if name not in row]:
                raise ValueError(f"row {number} has no {missing[0]!r}; it has {', '.join(map(repr, row))}")
        readable = [all(row[name] is not None for name in self.inputs) for row in rows]
        told = iter(self.model([row for row, is_readable in zip(rows, readable, strict=True) if is_readable]))
        return [next(told) if is_readable else None for is_readable in readable]

    def cells(self, answer: Answer | None) -> Cells:
        """For a table: the label, or a list as JSON, and the score."""
        if answer is None:
            return "", ""
        found, score = answer.get("labels", answer.get("spans")), answer.get("score", "")
        if isinstance(found, list) and not self.several and all(isinstance(one, str) for one in found):
            return "".join(found), score
        return json.dumps(found, ensure_ascii=False), score


def answer_file(model: Model, source: Path, output: Path | None) -> None:
    """The rows of `source` with their answers. Raises OSError or ValueError, which says what is wrong with a row."""
    if output and output.exists() and output.samefile(source):
        raise ValueError("the output is the file itself")
    if output and output.suffix and output.suffix.lower() != source.suffix.lower():
        raise ValueError(f"it is written as it was read: call the output {output.stem}{source.suffix}")
    inputs = model.spec["inputs"]
    answerer = Answerer(model, list(inputs) if isinstance(inputs, list) else [], bool(model.spec.get("several")))
    if source.suffix.lower() == ".parquet":
        return write_parquet(answerer, source, output)
    write = write_csv if source.suffix.lower() == ".csv" else write_lines
    with source.open(encoding="utf-8-sig", newline="") as file, ExitStack() as opened:
        target = opened.enter_context(output.open("w", encoding="utf-8", newline="")) if output else sys.stdout
        write(answerer, file, target)
        target.flush()
    return None


def write_csv(answerer: Answerer, file: IO[str], target: IO[str]) -> None:
    csv.field_size_limit(1 << 30)
    writer = csv.writer(target, lineterminator="\n")
    try:
        for start, batch in in_batches(csv.DictReader(file, restval="")):
            answers = answerer.answer(batch, start)
            if start == 1:
                writer.writerow([*batch[0], "answer", "answer_score"])
            writer.writerows([*row.values(), *answerer.cells(own)] for row, own in zip(batch, answers, strict=True))
    except csv.Error as error:
        raise ValueError(str(error)) from None


def write_lines(answerer: Answerer, file: IO[str], target: IO[str]) -> None:
    for start, batch in in_batches(read_lines(file)):
        for row, own in zip(batch, answerer.answer(batch, start), strict=True):
            target.write(json.dumps({**row, "answer": own}, ensure_ascii=False) + "\n")


def write_parquet(answerer: Answerer, source: Path, output: Path | None) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ValueError("parquet needs a third package: `pip install pyarrow`, or give a .csv or .jsonl") from None
    if output is None:
        raise ValueError("parquet cannot be written to standard output: name a file (-o)")
    file, start = parquet.ParquetFile(source), 1
    fields = (pyarrow.field("answer", pyarrow.string()), pyarrow.field("answer_score", pyarrow.float64()))
    with parquet.ParquetWriter(output, pyarrow.schema([*file.schema_arrow, *fields])) as writer:
        for batch in file.iter_batches(ROWS):
            cells = [answerer.cells(own) for own in answerer.answer(batch.to_pylist(), start)]
            table = pyarrow.Table.from_batches([batch])
            for field, column in zip(fields, zip(*cells, strict=True), strict=True):
                values = [None if value == "" else value for value in column]
                table = table.append_column(field, pyarrow.array(values, field.type))
            writer.write_table(table)
            start += len(cells)


def read_lines(file: Iterable[str]) -> Iterator[Row]:
    """Raises ValueError."""
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number} is no JSON: {error}") from None
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is no JSON object")
            yield row


def in_batches(rows: Iterable[Row]) -> Iterator[tuple[int, list[Row]]]:
    """With the number of the first row, from 1."""
    source, start = iter(rows), 1
    while batch := list(islice(source, ROWS)):
        yield start, batch
        start += len(batch)
