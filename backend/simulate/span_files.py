"""Files of texts with marked spans, or with questions and answers, that `understudy simulate` is given: JSON lines, an
export of Label Studio, or SQuAD's format."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import DataError
from model.simulation.span_dataset import SpanDataset, count_overlaps, make_span_dataset
from model.simulation.squad_file import is_squad, read_squad
from model.span import SpanDocument
from model.spans.documents import read_documents, read_text, to_document
from model.spec import Json

if TYPE_CHECKING:
    from backend.labelstudio.spans.export import Export, LabelledText
    from model.simulation.dataset import Dataset
    from model.spans.patterns.lexicon import Lexicon

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
    if not data.asks and (overlaps := count_overlaps((*data.train, *data.test))):
        notes += (f"{overlaps} spans overlap others: where labels do so in two texts and more, all are learned",)
    return SpanFiles(data, notes)


def _read(path: Path, control: str) -> _Read:
    if not is_span_file(path):
        raise DataError(f"{path} is no JSON: texts with spans come as JSON lines, or as Label Studio's JSON export")
    text = read_text(path)
    if not text.lstrip().startswith("["):
        whole = _whole(path, text)
        return _Read(read_squad(whole, path) if is_squad(whole) else read_documents(path))
    try:
        rows: Json = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    assert isinstance(rows, list)
    if not rows:
        raise DataError(f"{path} holds an empty list: it needs a labelled text per entry")
    if all(
        isinstance(row, Mapping) and ({"text", "spans"} <= set(row) or {"context", "answers"} <= set(row))
        for row in rows
    ):
        return _Read([to_document(row, path, f"entry {number}") for number, row in enumerate(rows, start=1)])
    return _of_export(path, rows, control)


def _whole(path: Path, text: str) -> Json:
    """A file that is one JSON object; None for lines of them. Raises DataError for SQuAD's format that is no JSON."""
    try:
        found: Json = json.loads(text)
    except (ValueError, RecursionError) as error:
        if '"paragraphs"' in text and '"qas"' in text and not text.lstrip().startswith('{"text"'):
            raise DataError(f"{path} is not JSON: {error}") from error
        return None
    return found


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
    asked = _question_of(documents)
    others = [name for name in names if name != chosen]
    notes: list[str] = []
    if others and not control:
        notes.append(f"{path}: the spans of {chosen} are replayed; --control names others: {', '.join(others)}")
    texts = [one.document for one in documents]
    if asked is not None:
        texts = [replace(one.document, question=str(one.data.get(asked, ""))) for one in documents]
        notes.append(f"{path}: {chosen} is taken for answers to the questions in the field {asked}")
    return _Read(texts, chosen, (*notes, *_passed_over(path, export)))


def _question_of(documents: Sequence[LabelledText]) -> str | None:
    """The field of the tasks' data that holds the question, where a control's marks answer one: by the names."""
    from backend.labelstudio.questions.recognise import name_question

    labels = list(dict.fromkeys(span.label for one in documents for span in one.document.spans))
    fields = [key for key, value in documents[0].data.items() if isinstance(value, str)] if documents else []
    fields = [key for key in fields if documents[0].data[key] != documents[0].document.text]
    return name_question(documents[0].control, labels, fields) if documents else None


def _passed_over(path: Path, export: Export) -> tuple[str, ...]:
    said = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in export.ignored.items() if count)
    return (f"{path}: passed over: {said}",) if said else ()


def read_lexicons(path: Path, data: Dataset | SpanDataset) -> dict[str, Lexicon]:
    """The patterns of a file for the control of a simulation. Raises DataError, also for data without spans."""
    from model.simulation.span_replay import CONTROL
    from model.spans.patterns.lexicon import build_lexicon
    from model.spans.patterns.pattern import PatternError
    from model.spans.patterns.pattern_file import read_patterns

    if not isinstance(data, SpanDataset):
        raise DataError("--patterns is for texts with spans")
    found = read_patterns(path)
    for pattern in found:
        if pattern.label not in data.labels:
            known = f"{pattern.label!r} is no label of these texts ({', '.join(data.labels[:10])})"
            raise PatternError(f'{path}, line {pattern.line}, field "label": {known}', field="label", line=pattern.line)
    return {CONTROL: build_lexicon(found)}
