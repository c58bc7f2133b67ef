"""Files of texts with marked spans that `understudy simulate` is given: JSON lines, or an export of Label Studio."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import DataError
from model.simulation.span_dataset import SpanDataset, count_overlaps, make_span_dataset
from model.span import SpanDocument
from model.spans.documents import read_documents, read_text, to_document
from model.spec import Json

if TYPE_CHECKING:
    from backend.labelstudio.spans.export import Export

START_BYTES = 256
"""Of a file, by which it is told what is in it."""


@dataclass(frozen=True)
class SpanFiles:
    """What the files hold, and what is to be said about them, a line each."""

    data: SpanDataset
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Read:
    documents: Sequence[SpanDocument]
    control: str = ""
    notes: tuple[str, ...] = ()


def is_span_file(path: Path) -> bool:
    """Whether a file holds JSON, not a table; one that cannot be read does not."""
    try:
        with path.open("rb") as file:
            start = file.read(START_BYTES)
    except OSError:
        return False
    for mark in (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        start = start.removeprefix(mark)
    return start.lstrip(b" \t\r\n\0")[:1] in (b"{", b"[")


def read_span_files(train: Path, test: Path | None = None, control: str = "") -> SpanFiles:
    """`control`: whose spans of an export are meant; "": of the first in it. Raises DataError."""
    learned = _read(train, control)
    measured = None if test is None else _read(test, control or learned.control)
    if control and not learned.control:
        raise DataError(f"{train} has no controls: --control goes with an export of Label Studio")
    data = make_span_dataset(learned.documents, None if measured is None else measured.documents, str(train))
    notes = (*learned.notes, *(measured.notes if measured is not None else ()))
    if overlaps := count_overlaps((*data.train, *data.test)):
        notes += (f"{overlaps} spans overlap others: where labels do so in two texts and more, all are learned",)
    return SpanFiles(data, notes)


def _read(path: Path, control: str) -> _Read:
    if not is_span_file(path):
        raise DataError(f"{path} is no JSON: texts with spans come as JSON lines, or as Label Studio's JSON export")
    text = read_text(path)
    if not text.lstrip().startswith("["):
        return _Read(read_documents(path))
    try:
        rows: Json = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    assert isinstance(rows, list)
    if not rows:
        raise DataError(f"{path} holds an empty list: it needs a labelled text per entry")
    if all(isinstance(row, Mapping) and "text" in row and "spans" in row for row in rows):
        return _Read([to_document(row, path, f"entry {number}") for number, row in enumerate(rows, start=1)])
    return _of_export(path, rows, control)


def _of_export(path: Path, rows: Sequence[Json], control: str) -> _Read:
    from backend.labelstudio.spans.export import one_each, read_export

    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping) or not isinstance(row.get("data"), Mapping):
            raise DataError(
                f'{path}, entry {number}: no task of Label Studio (it lacks "data"): export the project as JSON '
                "(not JSON-MIN)"
            )
    export = read_export(list(rows))
    names = list(dict.fromkeys(one.control for one in export.documents))
    if not names:
        raise DataError(
            f"{path}: no annotation marks a span; of a project with choices give a CSV with the columns text,label"
        )
    if control and control not in names:
        raise DataError(f"{path} has no spans of {control!r} (there are: {', '.join(names)})")
    chosen = control or names[0]
    documents = one_each([one for one in export.documents if one.control == chosen])
    others = [name for name in names if name != chosen]
    notes = [f"{path}: the spans of {chosen} are replayed; --control names others: {', '.join(others)}"]
    texts = [one.document for one in documents]
    return _Read(texts, chosen, (*(notes if others and not control else ()), *_passed_over(path, export)))


def _passed_over(path: Path, export: Export) -> tuple[str, ...]:
    said = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in export.ignored.items() if count)
    return (f"{path}: passed over: {said}",) if said else ()
