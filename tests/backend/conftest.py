"""A project in the store, as the web process would have made it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from backend.labelstudio.records import ExampleRecord
from tests.support.rig import choices_config, read_rows

PROJECT = 7


class Labels:
    """Adds labelled sample messages to the store."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.rows = read_rows()
        self.names = sorted({label for _, label in self.rows})
        context.stores.projects.save_config(PROJECT, choices_config(self.names))

    def add(self, start: int, stop: int, relabel: Callable[[str], str] = str) -> None:
        """Rows [start, stop) as annotations with ids start + 1 and on."""
        self.context.stores.examples.upsert_many(PROJECT, list(self._records(range(start, stop), relabel)))

    def _records(self, numbers: Sequence[int], relabel: Callable[[str], str]) -> Any:
        for number in numbers:
            text, label = self.rows[number]
            stamp = f"2026-01-01T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z"
            yield ExampleRecord(number + 1, number + 1, {"text": text}, {"label": [[relabel(label)]]}, stamp)


@pytest.fixture
def labels(context: Any) -> Labels:
    return Labels(context)
