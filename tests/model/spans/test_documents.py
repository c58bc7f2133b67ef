"""Labelled texts from files: each broken line is named, with what is wrong and what is wanted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model.errors import DataError
from model.span import Span, SpanDocument
from model.spans.documents import read_documents


def write(path: Path, *lines: Any) -> Path:
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


def line(text: str = "Ann met Bob", **span: Any) -> dict[str, Any]:
    return {"text": text, "spans": [{"start": 0, "end": 3, "label": "PER"} | span]}


def test_texts_come_in_the_order_of_the_file_with_sorted_spans(tmp_path: Path) -> None:
    second = {"text": "Ann 😀 met Bob", "spans": [{"start": 10, "end": 13, "label": "B"}, *line()["spans"]]}
    file = write(tmp_path / "x.jsonl", "\ufeff" + json.dumps(line()), "", second, {"text": "It rains.", "spans": []})
    assert read_documents(file) == [
        SpanDocument("Ann met Bob", (Span(0, 3, "PER"),)),
        SpanDocument("Ann 😀 met Bob", (Span(0, 3, "PER"), Span(10, 13, "B"))),
        SpanDocument("It rains."),
    ]


@pytest.mark.parametrize(("encoding", "end"), [("utf-16", "\n"), ("utf-8", "\r"), ("utf-8-sig", "\r\n")])
def test_any_line_end_and_utf_16_are_read(tmp_path: Path, encoding: str, end: str) -> None:
    text = end.join(json.dumps({"text": text, "spans": []}, ensure_ascii=False) for text in ("Ä\u2028", "é 😀"))
    (tmp_path / "x.jsonl").write_bytes(text.encode(encoding))
    assert [own.text for own in read_documents(tmp_path / "x.jsonl")] == ["Ä\u2028", "é 😀"]


def test_what_no_tokenizer_takes_is_replaced_by_as_much(tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", '{"text": "a\\ud800\\u0000\\ud83d\\ude00", "spans": []}')
    assert read_documents(file)[0].text == "a\ufffd\ufffd😀"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ('{"text": "Ann', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ([1], "no object but a list"),
        ({"spans": []}, '"text" must be a text, not nothing'),
        ({"text": 7, "spans": []}, "not the number 7"),
        ({"text": "Ann"}, "[] where there is nothing to mark"),
        ({"text": "Ann", "label": "PER", "spans": "PER"}, "\"spans\" must be a list, not the text 'PER'"),
        ({"text": "Ann", "spans": [3]}, "a span must be an object, not the number 3"),
        (line(start="0"), "start and end must be whole numbers"),
        (line(start=True), "not true or false and the number 3"),
        (line(end=2.5), "start and end must be whole numbers"),
        (line(label=" "), "label must be a name"),
        (line(label=None), "label must be a name, not nothing"),
        (line(end=12), "0 to 12 does not lie in the text of 11 characters"),
        (line(start=3), "3 to 3 does not lie in the text"),
        (line(start=-1), "-1 to 3 does not lie in the text"),
    ],
)
def test_a_bad_line_is_named_with_what_is_wanted(tmp_path: Path, bad: Any, words: str) -> None:
    file = write(tmp_path / "x.jsonl", line(), "", bad)
    with pytest.raises(DataError) as caught:
        read_documents(file)
    assert words in caught.value.message and f"{file}, line 3: " in caught.value.message
    assert 'Wanted: {"text": "...", "spans": ' in caught.value.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b'{"text": "a", "spans": []}\n{"text": "\xe9"}', "line 2 is not UTF-8"),
        (b"PK\x03\x04x", "a ZIP archive"),
        (b'\xff\xfe{\x00"', "line 1 is not UTF-8"),
    ],
)
def test_a_bad_file_says_what_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_documents(tmp_path / "x.jsonl")


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl cannot be read: No such file"):
        read_documents(tmp_path / "none.jsonl")
