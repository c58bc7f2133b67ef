"""Questions with their answers from a file in SQuAD's format, 1.1 or 2.0: articles of paragraphs of questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from model.errors import DataError
from model.span import SpanDocument
from model.spans.documents import ANSWER, to_document
from model.spec import Json

WANTED = (
    '{"data": [{"paragraphs": [{"context": "...", "qas": [{"question": "...", "answers": '
    '[{"answer_start": 0, "text": "..."}]}]}]}]}, without answers where the context does not say'
)


def is_squad(content: Json) -> bool:
    """Whether a file's content has this form."""
    return isinstance(content, Mapping) and "data" in content and "text" not in content


def read_squad(content: Json, path: Path) -> list[SpanDocument]:
    """In the order of the file. Raises DataError, which names the place."""
    assert isinstance(content, Mapping)
    found = []
    for article, place in _each(content, "data", path, ""):
        where = _title(article, place)
        for paragraph, number in _each(article, "paragraphs", path, where):
            found += list(_of_paragraph(paragraph, path, f"{where}, {number}"))
    if not found:
        raise DataError(f"{path} holds no question. Wanted: {WANTED}", path=str(path))
    return found


def _of_paragraph(paragraph: Mapping[str, Json], path: Path, where: str) -> Iterator[SpanDocument]:
    context = paragraph.get("context")
    if not isinstance(context, str):
        raise _bad(path, where, 'it lacks "context", the text')
    for asked, number in _each(paragraph, "qas", path, where):
        place = f"{where}, {number}"
        answers: Json = asked.get("answers")
        if answers is None and not asked.get("is_impossible"):
            raise _bad(path, place, 'it lacks "answers" (an empty list where the context does not say)')
        answers = [] if asked.get("is_impossible") or answers is None else answers
        if not isinstance(answers, Sequence) or isinstance(answers, str):
            raise _bad(path, place, '"answers" must be a list')
        question = asked.get("question")
        if not isinstance(question, str) or not question.strip():
            raise _bad(path, place, 'it lacks "question", a text')
        spans = [_span(one, context, path, place) for one in answers]
        yield to_document({"text": context, "question": question, "spans": spans}, path, place)


def _span(answer: Json, context: str, path: Path, place: str) -> Mapping[str, Json]:
    text = answer.get("text") if isinstance(answer, Mapping) else None
    start = answer.get("answer_start") if isinstance(answer, Mapping) else None
    if not isinstance(text, str) or not text or not isinstance(start, int) or isinstance(start, bool):
        raise _bad(path, place, 'an answer needs "answer_start", a whole number, and "text"')
    if start < 0 or context[start : start + len(text)] != text:
        there = context[max(0, start) : max(0, start) + len(text)][:40]
        raise _bad(
            path,
            place,
            f"at {start} the context does not have the answer {text[:40]!r} but {there!r}; answer_start counts "
            "characters (code points, as Python does) from 0",
        )
    return {"start": start, "end": start + len(text), "label": ANSWER}


def _each(row: Mapping[str, Json], key: str, path: Path, where: str) -> Iterator[tuple[Mapping[str, Json], str]]:
    """The objects of a list, and what they are called."""
    called = {"data": "article", "paragraphs": "paragraph", "qas": "question"}[key]
    rows = row.get(key)
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        raise _bad(path, where, f'"{key}" must be a list')
    for number, one in enumerate(rows, start=1):
        if not isinstance(one, Mapping):
            raise _bad(path, f"{where}, {called} {number}" if where else f"{called} {number}", "it is no object")
        yield one, f"{called} {number}"


def _title(article: Mapping[str, Json], place: str) -> str:
    title = article.get("title")
    return f"{place} ({title[:40]})" if isinstance(title, str) and title else place


def _bad(path: Path, place: str, what: str) -> DataError:
    found = f"{path}, {place}: {what}" if place else f"{path}: {what}"
    return DataError(f"{found}. Wanted: {WANTED}", path=str(path), place=place)
