"""Files as people have them are read, or refused in words that name the row."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.client import json_stream
from backend.client.output_file import replacing
from backend.client.predict_file import _is_deeper, to_json
from backend.client.task_file import _lines, read_tasks
from backend.errors import BadRequest

ROWS = [{"text": "the team won", "price": 1.5}, {"text": "café 日本 🚀", "price": None}]


def read(data: bytes, source: str = "tasks.json") -> tuple[list[Any], dict[str, int]]:
    notes: dict[str, int] = {}
    return list(read_tasks(io.BytesIO(data), source, lambda what, row: notes.setdefault(what, row) and None)), notes


def refusal(data: bytes, source: str = "tasks.json") -> str:
    with pytest.raises(BadRequest) as error:
        read(data, source)
    said = error.value.message
    assert not re.search(r"b'|b\"|Error|Exception|0x|codec", said), said
    assert source in said or "standard input" in said
    return said


SHAPES = {
    "list": json.dumps(ROWS),
    "pretty": json.dumps(ROWS, indent=2),
    "lines": "\n".join(json.dumps(row) for row in ROWS),
    "windows": "\r\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS),
    "raw": json.dumps(ROWS, ensure_ascii=False),
    "objects": "".join(json.dumps(row, indent=1) for row in ROWS),
    "blank": "\n \t\n" + json.dumps(ROWS) + "\n\n",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("shape", [name for name in SHAPES if name != "blank"])
def test_json_of_any_shape_and_encoding(shape: str, encoding: str) -> None:
    assert read(SHAPES[shape].encode(encoding)) == (ROWS, {})


LINE_ENDS = pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])


@LINE_ENDS
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("said", [False, True])
@pytest.mark.parametrize("source", ["tasks.csv", "tasks.txt", "-"])
def test_tables_of_any_line_end_and_separator(end: str, separator: str, said: bool, source: str) -> None:
    lines = [
        separator.join(row) for row in (["id", "text"], ["1", f'"a{end}b{separator}"'], [], ["2", "c"], ["3", '""'])
    ]
    table = end.join([f"sep={separator}"] * said + lines) + end
    rows = [{"id": "1", "text": f"a{end}b{separator}"}, {"id": "2", "text": "c"}, {"id": "3", "text": ""}]
    assert read(table.encode(), source) == (rows, {})


@given(st.text("\r\na", max_size=20), st.lists(st.integers(0, 20), max_size=4))
def test_lines_do_not_depend_on_the_chunks(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(text)]
    chunks = [text[start:end] for start, end in itertools.pairwise(places) if start < end]
    assert list(_lines(chunks)) == list(io.StringIO(text, newline=""))


@LINE_ENDS
def test_what_is_no_text_is_told_with_its_line_whatever_ends_lines(end: str) -> None:
    assert "tasks.csv, line 3: the byte E9" in refusal(
        end.join(["text", "a", "caf\u00e9"]).encode("latin-1"), "tasks.csv"
    )
    assert "line 3: 2 cells" in refusal(end.join(["text", "a", "b,c"]).encode(), "tasks.csv")


def test_blanks_around_do_not_matter() -> None:
    assert read(SHAPES["blank"].encode()) == (ROWS, {})
    assert read(codecs.BOM_UTF8 + b" \n" + SHAPES["list"].encode()) == (ROWS, {})


@given(
    rows=st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=5) | st.integers()), max_size=6),
    size=st.integers(1, 40),
    as_list=st.booleans(),
)
def test_values_are_the_same_wherever_chunks_end(rows: list[Any], size: int, as_list: bool) -> None:
    text = json.dumps(rows, ensure_ascii=False) if as_list else "\n".join(json.dumps(row) for row in rows)
    chunks = (text[at : at + size] for at in range(0, len(text), size))
    found = list(json_stream.JsonStream(chunks, "f").values())
    assert json.dumps(found) == json.dumps(rows) or any(abs(n) >= 10**18 for row in rows for n in numbers(row))


def numbers(row: dict[str, Any]) -> list[int]:
    return [value for value in row.values() if isinstance(value, int)]


@given(text=st.text(max_size=60))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    for source in ("a.json", "a.csv", "-"):
        try:
            read(data, source)
        except BadRequest as error:
            assert error.message


@given(data=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_in_words(data: bytes) -> None:
    try:
        read(data)
    except BadRequest as error:
        assert "b'" not in error.message


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000])
def test_what_is_no_number_is_read_as_null_and_told_with_its_row(number: str) -> None:
    rows, notes = read(f'[{{"text": "a"}}, {{"text": "b", "price": {number}}}]'.encode())
    assert rows == [{"text": "a"}, {"text": "b", "price": None}]
    assert list(notes.values()) == [2]
    json.loads(to_json(rows))


def test_the_last_of_two_equal_keys_counts_and_it_is_told() -> None:
    rows, notes = read(b'[{"text": "a", "text": "b"}]')
    assert rows == [{"text": "b"}] and notes == {"a key comes twice, and its last value counts": 1}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'[{"text": "a"},\n {"text": "caf\xe9"}]', "line 2: the byte E9 (in Windows-1252 and Latin-1 it is é)"),
        (json.dumps(ROWS).encode()[:-9], "the file ends within row 2: it is cut off"),
        (b'[{"text": "a"}', "the file ends after row 1"),
        (b'[{"text": "a"} {"text": "b"}]', "a comma or the end of the list is needed after row 1"),
        (b'[{"text": "a"}]\n{"text": "b"}', "line 2: something follows"),
        (b"[{'text': 'a'}]", "row 1 is no JSON: expecting property name"),
        (b'{"text": "a"}\nhello', "line 2: row 2 is no JSON"),
        (b'[{"text": "a\nb"}]', "row 1 is no JSON: invalid control character"),
        (b'[{"text": "a"}, ' + b"[" * 100_000, "row 2"),
        (b'{"tasks": [{"text": "a"}], "total": 1}', "rows under tasks"),
        (b"<html><body>Sign in</body></html>", "an HTML or XML page"),
        (b"hello", "neither JSON"),
        (gzip.compress(b"[]", mtime=0), "compressed with gzip"),
        (b"PAR1....", "Parquet"),
        (b"%PDF-1.4", "PDF"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_row_or_kind(data: bytes, said: str) -> None:
    assert said in refusal(data)


def test_a_workbook_is_told_whatever_it_is_called() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    for name in ("tasks.xlsx", "tasks.json", "tasks.csv", "-"):
        assert "Excel workbook" in refusal(packed.getvalue(), name)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_is_a_task_a_row(separator: str, encoding: str) -> None:
    rows = [{"text": f"a {separator} b", "n": "1"}, {"text": 'two\nlines, "quoted"', "n": "2"}]
    written = io.StringIO(newline="")
    table = csv.DictWriter(written, ["text", "n"], delimiter=separator)
    table.writeheader()
    table.writerows(rows)
    for name in ("t.csv", "t.txt", "-"):
        assert read(written.getvalue().encode(encoding), name)[0] == rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("text,n\na,1\nb,c,2\n", "line 3: 3 cells, but the first line names 2 columns"),
        ("text,text\na,b\n", "two columns are called text"),
        ("text,\na,b\n", "column 2 has no name"),
        ('text,n\n"a,1\n', "cannot be read as CSV"),
    ],
)
def test_a_table_that_is_none_is_refused_with_its_line(text: str, said: str) -> None:
    assert said in refusal(text.encode(), "t.csv")


def test_short_rows_are_filled_and_one_column_is_a_table_by_its_name() -> None:
    assert read(b"text,n\na\n", "t.csv")[0] == [{"text": "a", "n": ""}]
    assert read(b"text\n[INST] a\n", "t.csv")[0] == [{"text": "[INST] a"}]


def test_an_empty_file_is_told() -> None:
    for data in (b"", b" \n", codecs.BOM_UTF8):
        assert read(data) == ([], {"tasks.json is empty": 0})


def test_depth_is_counted_without_a_stack() -> None:
    value: Any = "x"
    for _ in range(5000):
        value = [value]
    assert _is_deeper(value, 60) and not _is_deeper({"a": [{"b": [1]}]}, 4) and _is_deeper({"a": [{"b": [1]}]}, 3)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_output_without_permission_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(BadRequest, match="cannot be written: Permission denied"), replacing(tmp_path / "out.json"):
        pass


def test_an_output_where_there_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "none" / "out.json", tmp_path / "file" / "out.json"):
        with pytest.raises(BadRequest, match="cannot be written"), replacing(place):
            pass
