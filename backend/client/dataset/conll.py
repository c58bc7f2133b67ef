"""CoNLL: a word and its tag a line, an empty line between texts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.client.dataset.marked_text import MarkedText
from backend.client.dataset.text_files import Add
from backend.client.dataset.words import longest_apart
from backend.client.output_file import replacing
from backend.dataset.row import DatasetRow, SpanJson

OUTSIDE = "O"


@contextmanager
def write_conll(path: Path, marked: MarkedText) -> Iterator[Add]:
    """Two columns, IOB2. Of spans that overlap only the longest has a place: `marked` counts the others."""
    with replacing(path) as file:

        def add(row: DatasetRow) -> None:
            found = marked.read(row)
            if found is None:
                return
            text, spans = found
            kept = longest_apart(spans)
            marked.left_out += len(spans) - len(kept)
            lines = [f"{text[start:end]}\t{_tag(start, kept)}\n" for start, end in marked.words(text, kept)]
            file.write("".join([*lines, "\n"] if lines else []).encode())

        yield add


def _tag(start: int, spans: list[SpanJson]) -> str:
    for span in spans:
        if span["start"] <= start < span["end"]:
            label = "-".join(span["label"].split()) or "_"  # a column ends at a blank
            return f"{'B' if start == span['start'] else 'I'}-{label}"
    return OUTSIDE
