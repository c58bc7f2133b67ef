"""Labelled texts from files: a JSON object a line, `{"text": ..., "spans": [{"start", "end", "label"}]}`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NotRequired, TypedDict

from model.errors import DataError
from model.span import Span, SpanDocument, sorted_spans


class SpanJson(TypedDict):
    """A span in a file."""

    start: int
    end: int
    label: str


class DocumentJson(TypedDict):
    """A line of a file."""

    text: str
    spans: NotRequired[list[SpanJson]]


def read_documents(path: Path) -> list[SpanDocument]:
    """In the order of the file. Raises DataError, which names the line."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}", path=str(path)) from error
    return [_document(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def _document(path: Path, number: int, line: str) -> SpanDocument:
    try:
        row: DocumentJson = json.loads(line)
        spans = [Span(int(own["start"]), int(own["end"]), str(own["label"])) for own in row.get("spans", ())]
        return SpanDocument(str(row["text"]), sorted_spans(spans))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f'{path}, line {number}: not a labelled text ({error}); wanted {{"text": ..., "spans": [{{"start", "end", '
            '"label"}}]}}, in characters of the text',
            path=str(path),
            line=number,
        ) from error
