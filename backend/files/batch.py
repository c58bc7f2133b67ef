"""What a table of rows is to whoever answers them: batches, and answers for each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

import orjson

from backend.files.answers import RowAnswer
from model.spec import Json, JsonObject

BATCH_ROWS = 512

OWN = ("answer", "score", "version")
"""Columns that rows get, behind a prefix."""


@dataclass(frozen=True)
class Batch:
    """`rows` as tasks have them, `numbers` of them in their file, and `unreadable`: number -> why."""

    numbers: Sequence[int]
    rows: Sequence[JsonObject]
    unreadable: dict[int, str] = field(default_factory=dict)


class Table(Protocol):
    """One shard, open to be read, and its part, open to be written. `write` takes the batch that was read last."""

    def __enter__(self) -> Table: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...

    def batches(self) -> Iterator[Batch]: ...

    def write(self, batch: Batch, answers: Sequence[RowAnswer], version: str) -> None: ...


def cell_of(answer: Json) -> str | None:
    """For a table: a label as it is, the rest as JSON; None for nothing."""
    return answer if answer is None or isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


def to_line(value: JsonObject) -> str:
    """Also of halves of a pair of characters."""
    try:
        return orjson.dumps(value).decode() + "\n"
    except TypeError:
        return json.dumps(value) + "\n"
