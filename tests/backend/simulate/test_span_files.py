"""Files of texts with spans: what is in them is recognised, an export is read as lines are, and odd ones are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backend.simulate.span_files import is_span_file, read_span_files
from model.errors import DataError
from model.span import Span, SpanDocument
from tests.model.spans.conftest import sentences
from tests.support.spans import recorded


def lines_of(documents: list[SpanDocument]) -> list[dict[str, Any]]:
    return [
        {"text": own.text, "spans": [{"start": s.start, "end": s.end, "label": s.label} for s in own.spans]}
        for own in documents
    ]


def write_lines(path: Path, documents: list[SpanDocument]) -> Path:
    path.write_text("\n".join(json.dumps(line) for line in lines_of(documents)), encoding="utf-8")
    return path


def tasks_of(documents: list[SpanDocument], control: str = "ner") -> list[dict[str, Any]]:
    """As Label Studio exports them."""
    return [
        {
            "id": number,
            "data": {"text": own.text},
            "annotations": [
                {
                    "was_cancelled": False,
                    "result": [
                        {
                            "from_name": control,
                            "to_name": "text",
                            "type": "labels",
                            "value": {"start": s.start, "end": s.end, "labels": [s.label]},
                        }
                        for s in own.spans
                    ],
                }
            ],
        }
        for number, own in enumerate(documents, start=1)
    ]


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b'{"text"', True),
        (b"\xef\xbb\xbf\n [", True),
        ('{"'.encode("utf-16"), True),
        (b"text,label\n[a],b", False),
        (b"", False),
        (b"sep=;\n", False),
    ],
)
def test_json_is_told_from_a_table(tmp_path: Path, content: bytes, found: bool) -> None:
    (tmp_path / "x").write_bytes(content)
    assert is_span_file(tmp_path / "x") is found
    assert not is_span_file(tmp_path / "none")


def test_an_export_says_what_json_lines_say(tmp_path: Path) -> None:
    documents = sentences(40)
    lines = read_span_files(write_lines(tmp_path / "x.jsonl", documents))
    assert lines == read_span_files(write(tmp_path / "x.json", tasks_of(documents)))
    assert lines == read_span_files(write(tmp_path / "list.json", lines_of(documents)))
    assert lines.notes == () and lines.data.labels == ("LOC", "PER")
    assert {one.text for one in lines.data.train}.isdisjoint(one.text for one in lines.data.test)
    assert sorted([*lines.data.train, *lines.data.test], key=str) == sorted(documents, key=str)


def test_a_recorded_export_is_read(tmp_path: Path) -> None:
    cases = recorded("text_offsets").values()
    tasks = [
        {"id": at, "data": {"text": case["text"]}, "annotations": [{"result": case["webhook_result"]}]}
        for at, case in enumerate(cases)
    ]
    file = write(tmp_path / "x.json", tasks)
    found = read_span_files(file, write_lines(tmp_path / "t.jsonl", sentences(3))).data
    assert [one.text for one in found.train] == [case["text"] for case in cases]
    assert found.test == tuple(sentences(3)) and all(one.spans for one in found.train)


def test_of_several_controls_one_is_replayed_and_it_is_said(tmp_path: Path) -> None:
    documents = sentences(24)
    tasks = tasks_of(documents)
    for task in tasks:
        task["annotations"][0]["result"] += [
            {**item, "from_name": "other", "value": {**item["value"], "labels": ["X"]}}
            for item in task["annotations"][0]["result"]
        ]
    tasks[1]["annotations"][0]["was_cancelled"] = True
    file = write(tmp_path / "x.json", tasks)
    first, other = read_span_files(file), read_span_files(file, control="other")
    assert first.data.labels == ("LOC", "PER") and other.data.labels == ("X",)
    assert first.notes == (
        f"{file}: the spans of ner are replayed; --control names others: other",
        f"{file}: passed over: 1 skipped",
    )
    assert other.notes == first.notes[1:]
    with pytest.raises(DataError, match=r"no spans of 'none' \(there are: ner, other\)"):
        read_span_files(file, control="none")
    with pytest.raises(DataError, match="has no controls"):
        read_span_files(write_lines(tmp_path / "x.jsonl", documents), control="ner")


def test_overlapping_spans_are_read_and_told(tmp_path: Path) -> None:
    nested = SpanDocument("Bank of Oslo", (Span(0, 12, "ORG"), Span(8, 12, "LOC")))
    files = read_span_files(write_lines(tmp_path / "x.jsonl", [*sentences(30), nested]))
    assert files.notes == ("2 spans overlap others: where labels do so in two texts and more, all are learned",)
    assert nested in (*files.data.train, *files.data.test)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "an empty list"),
        ('[{"data": ', "is not JSON"),
        ([{"text": "Ann", "label": [{"start": 0, "end": 3, "labels": ["PER"]}]}], "export the project as JSON"),
        (["Ann"], "entry 1: no task of Label Studio"),
        ([{"data": {"text": "Ann"}, "annotations": []}], "no annotation marks a span"),
        ([{"text": "Ann", "spans": []}, {"text": "Ann", "spans": [{}]}], "entry 2: a span's start and end"),
        ('{"text": "Ann", "spans": []}', "too few texts to hold some of them out"),
    ],
)
def test_odd_files_say_what_is_wrong(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_span_files(write(tmp_path / "x.json", content))


def test_both_files_must_hold_spans(tmp_path: Path) -> None:
    train = write_lines(tmp_path / "x.jsonl", sentences(8))
    with pytest.raises(DataError, match="is no JSON: texts with spans come as JSON lines"):
        read_span_files(train, write(tmp_path / "t.csv", "text,label\na,b\n"))
    with pytest.raises(DataError, match="no span is marked"):
        read_span_files(write_lines(tmp_path / "y.jsonl", [SpanDocument("It rains.")] * 3), train)
