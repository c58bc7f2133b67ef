"""The rows of a project's data set, from a running understudy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import orjson

from backend.client.admin import AdminError
from backend.dataset.row import DatasetEnd, DatasetHeader, DatasetRow

if TYPE_CHECKING:
    from backend.client.admin import AdminClient


class Download:
    """`header`: what the project is; `damaged`: annotations that could not be read, known at the end."""

    def __init__(self, api: AdminClient, project: int, test: float, people: str) -> None:
        """Raises AdminError."""
        self._lines = api.dataset(project, test, people)
        self.header = cast("DatasetHeader", _read(next(self._lines, b"")))
        self.damaged = 0

    def rows(self) -> Iterator[DatasetRow]:
        """By task id. Raises AdminError when the stream is cut off."""
        count = 0
        for line in self._lines:
            value = _read(line)
            if "end" in value:
                end = cast("DatasetEnd", value)
                self.damaged = end["damaged"]
                if end["end"] == count:
                    return
                break
            count += 1
            yield cast("DatasetRow", value)
        raise AdminError(f"the data set broke off after {count} tasks: see the web process's log, and ask again")


def _read(line: bytes) -> dict[str, object]:
    """Raises AdminError."""
    try:
        return cast("dict[str, object]", orjson.loads(line))
    except ValueError as error:
        raise AdminError("the data set broke off in the midst of a row: ask again") from error
