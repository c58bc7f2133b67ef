"""Labelled texts from files: a JSON object a line, `{"text": ..., "spans": [{"start", "end", "label"}]}`, with a
`"question"` where the spans answer one; questions also as SQuAD has them when a line is one of them."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from model.errors import DataError
from model.file_formats import name_format
from model.span import Span, SpanDocument, sorted_spans
from model.spec import Json

WANTED = '{"text": "...", "spans": [{"start": 0, "end": 3, "label": "..."}]}'

ANSWER = "Answer"
"""What spans that answer a question are called where the file does not say."""

_UNREADABLE = re.compile("[\0\ud800-\udfff]")
"""NUL and halves of characters, which no tokenizer takes; what stands for them is as long."""


def read_documents(path: Path) -> list[SpanDocument]:
    """In the order of the file. Raises DataError, which names the line."""
    lines = re.split(r"\r\n?|\n", read_text(path))  # JSON escapes line ends within its texts
    return [_of_line(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def read_text(path: Path, needs: str = f"a line {WANTED} per labelled text") -> str:
    """Of a file in UTF-8, or in UTF-16 with its mark. Raises DataError, which says what is there instead and what to
    do; of an empty one what it `needs`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}", path=str(path)) from error
    if what := name_format(content[:16]):
        raise DataError(f"{path} is {what}", path=str(path))
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line} is not UTF-8: save the file as UTF-8", path=str(path)) from error
    if not text.strip():
        raise DataError(f"{path} is empty: it needs {needs}", path=str(path))
    return text


def _of_line(path: Path, number: int, line: str) -> SpanDocument:
    try:
        row: Json = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _bad(path, f"line {number}", f"not JSON ({error}); each line must be one object") from error
    return to_document(row, path, f"line {number}")


def to_document(row: Json, path: Path, place: str) -> SpanDocument:
    """One object of a file. `place` names it. Raises DataError."""
    if not isinstance(row, Mapping):
        raise _bad(path, place, f"no object but {_kind(row)}")
    if "context" in row and "text" not in row and "spans" not in row:
        row = _of_flat_squad(row, path, place)
    text, spans, question = row.get("text"), row.get("spans"), row.get("question")
    if not isinstance(text, str):
        raise _bad(path, place, f'"text" must be a text, not {_kind(text)}')
    if not isinstance(spans, Sequence) or isinstance(spans, str):
        hint = ", and [] where there is nothing to mark" if spans is None else ""
        raise _bad(path, place, f'"spans" must be a list{hint}, not {_kind(spans)}')
    if question is not None and not (isinstance(question, str) and question.strip()):
        raise _bad(path, place, f'"question" must be a text, not {_kind(question)}')
    usual = None if question is None else ANSWER
    found = sorted_spans(_to_span(one, text, path, place, usual) for one in spans)
    return SpanDocument(_clean(text), found, None if question is None else _clean(question))


def _of_flat_squad(row: Mapping[str, Json], path: Path, place: str) -> Mapping[str, Json]:
    """A line {"context", "question", "answers": {"text": [...], "answer_start": [...]}}, as data sets' hubs give it."""
    context, answers = row.get("context"), row.get("answers")
    texts = answers.get("text") if isinstance(answers, Mapping) else None
    starts = answers.get("answer_start") if isinstance(answers, Mapping) else None
    if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
        raise _bad(path, place, 'with "context", "answers" must have the lists "text" and "answer_start", as long')
    spans: list[Json] = []
    for text, start in zip(texts, starts, strict=True):
        if not isinstance(text, str) or not isinstance(start, int) or not isinstance(context, str):
            raise _bad(path, place, "an answer's text must be a text and its start a whole number")
        if start < 0 or context[start : start + len(text)] != text:
            raise _bad(path, place, f"at {start} the context does not have the answer {text[:40]!r}")
        spans.append({"start": start, "end": start + len(text)})
    return {"text": context, "question": row.get("question") or "", "spans": spans}


def _to_span(own: Json, text: str, path: Path, place: str, usual: str | None = None) -> Span:
    """`usual`: the label of spans without one."""
    if not isinstance(own, Mapping):
        raise _bad(path, place, f"a span must be an object, not {_kind(own)}")
    start, end, label = own.get("start"), own.get("end"), own.get("label", usual)
    if not isinstance(start, int) or not isinstance(end, int) or isinstance(start, bool) or isinstance(end, bool):
        raise _bad(path, place, f"a span's start and end must be whole numbers, not {_kind(start)} and {_kind(end)}")
    if not isinstance(label, str) or not label.strip():
        raise _bad(path, place, f"a span's label must be a name, not {_kind(label)}")
    if not 0 <= start < end <= len(text):
        raise _bad(
            path,
            place,
            f"the span {start} to {end} does not lie in the text of {len(text)} characters; start and end count "
            "characters (code points, as Python does) from 0, and the end is the one behind the last",
        )
    return Span(start, end, _clean(label))


def _clean(text: str) -> str:
    return _UNREADABLE.sub("\ufffd", text)


def _bad(path: Path, place: str, what: str) -> DataError:
    return DataError(f"{path}, {place}: {what}. Wanted: {WANTED}", path=str(path), place=place)


def _kind(value: Json) -> str:
    """What a value is, in JSON's words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return "an object" if isinstance(value, Mapping) else "a list"
