"""Projects that mark text, for tests of the whole loop: sentences about people and places, and who marked them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from backend.labelstudio.records import ExampleRecord
from model.span import SpanDocument
from tests.model.spans.conftest import mark, sentences
from tests.support.spans import TEXT_CONFIG

PROJECT = 7

MARKS = TEXT_CONFIG.replace('<Label value="ORG"/>', "")
"""People and places, over the Text `text`."""

MIXED = MARKS.replace(
    "</View>",
    '<Choices name="topic" toName="text"><Choice value="move"/><Choice value="rain"/></Choices></View>',
)
"""The same with a question beside it."""

__all__ = ["MARKS", "MIXED", "PROJECT", "Marks", "mark", "sentences", "topic_of"]


def topic_of(text: str) -> str:
    """The right answer to the question of MIXED."""
    return "rain" if "rain" in text else "move"


class Marks:
    """Adds marked texts to a project of the store; annotation and task have the number of the text + 1."""

    def __init__(self, context: Any, config: str = MARKS) -> None:
        self.context, self.config, self.count = context, config, 0
        context.stores.projects.save_config(PROJECT, config)

    def add(self, documents: Iterable[SpanDocument]) -> list[ExampleRecord]:
        """After those that are there."""
        records = [self.record(document, self.count + turn) for turn, document in enumerate(documents)]
        self.count += len(records)
        self.put(records)
        return records

    def put(self, records: Sequence[ExampleRecord]) -> None:
        """As they are."""
        self.context.stores.examples.upsert_many(PROJECT, records)

    def record(self, document: SpanDocument, number: int) -> ExampleRecord:
        """The annotation with the id `number` + 1."""
        mixed = "Choices" in self.config
        stamp = f"2026-01-01T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z"
        return ExampleRecord(
            number + 1,
            number + 1,
            {"text.page": document.text, **({"text": document.text} if mixed else {})},
            {"topic": [[topic_of(document.text)]]} if mixed else {},
            stamp,
            1,
            spans={"label": [(one.start, one.end, one.label) for one in document.spans]},
        )
