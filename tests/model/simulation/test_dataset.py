"""Labelled CSV files, good and bad."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.errors import DataError
from model.simulation.dataset import read_dataset, read_rows
from model.spec import Kind


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def many(count: int, labels: tuple[str, ...] = ("a", "b")) -> str:
    return "text,label\n" + "".join(f"text {i},{labels[i % len(labels)]}\n" for i in range(count))


def test_columns_are_found_by_name_whatever_else_there_is(tmp_path: Path) -> None:
    file = write(
        tmp_path / "x.csv", b'\xef\xbb\xbfid, Label ,TEXT\r\n1,card_fee,"one, two\nthree"\r\n\r\n2,,four\r\n3\r\n'
    )
    assert read_rows(file) == [("one, two\nthree", ("card_fee",)), ("four", ()), ("", ())]


def test_underscores_are_spaces_in_words_and_stay_in_keys(tmp_path: Path) -> None:
    data = read_dataset(write(tmp_path / "x.csv", many(60, ("card_fee", "lost"))))
    assert [(label.key, label.words) for label in data.control.labels] == [("card_fee", "card fee"), ("lost", "lost")]


def test_several_labels_make_sets(tmp_path: Path) -> None:
    data = read_dataset(write(tmp_path / "x.csv", many(60, ("a|b", "b", " c | a |"))))
    assert data.control.kind is Kind.MULTIPLE and data.control.keys() == ("a", "b", "c")
    assert {tuple(s.target) for s in data.train} == {("a", "b"), ("b",), ("c", "a")}


def test_the_hold_out_is_stable_and_shares_no_text_with_the_rest(tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", many(300) + many(150).removeprefix("text,label\n"))
    first, again = read_dataset(file), read_dataset(file)
    assert [s.text for s in first.test] == [s.text for s in again.test]
    assert 0.1 < len(first.test) / 450 < 0.3
    assert not {s.text for s in first.train} & {s.text for s in first.test}


def test_the_label_set_is_the_union_of_both_files(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", many(10))
    test = write(tmp_path / "test.csv", "text,label\ntext 1,c\nx,\n")
    data = read_dataset(train, test)
    assert data.control.keys() == ("a", "b", "c")
    assert len(data.train) == 10, "with a test file nothing is dropped"
    assert [s.target for s in data.test] == [{"c": 1.0}], "rows without a label measure nothing"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n", "column text and label is missing"),
        (b"PK\x03\x04...", "Excel workbook"),
        (b"text,class\na,b\n", "column label is missing"),
        (b"text,label\n", "no rows"),
        (b"text,label\na,x\nb,x\n", "only the label 'x'"),
        (b"text,label\na,\nb,\n", "no label at all"),
        (b"text,label\n,x\n,y\n", "every text is empty"),
        ("text,label\ngrün,x\nb,y\n".encode("latin-1"), "line 2: the byte FC is not UTF-8"),
        (b"text,label\na,x\nb,y\n", "too few to hold some of them out"),
    ],
)
def test_bad_files_are_refused_with_the_remedy(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_dataset(write(tmp_path / "x.csv", content))


def test_utf_16_with_its_mark_is_read(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path / "x.csv", "text,label\ngrün,x\n".encode("utf-16")))
    assert rows == [("grün", ("x",))]


def test_a_missing_file_and_a_useless_test_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_dataset(tmp_path / "nothing.csv")
    train = write(tmp_path / "train.csv", many(10))
    with pytest.raises(DataError, match="no row has a label"):
        read_dataset(train, write(tmp_path / "test.csv", "text,label\na,\n"))
    one = write(tmp_path / "one.csv", "text,label\na,x\nb,x\n")
    with pytest.raises(DataError, match="all rows to learn from have the same label"):
        read_dataset(one, write(tmp_path / "t.csv", "text,label\na,y\n"))
    with pytest.raises(DataError, match="single-label"):
        read_dataset(write(tmp_path / "m.csv", many(10, ("a|b", "c"))), multilabel=False)


@pytest.mark.parametrize(
    ("labels", "none"), [(("a", "", "b"), {"": 1.0}), (("a|b", "", "b"), {}), (("a", ""), {"": 1.0})]
)
def test_empty_cells_say_none_of_these_where_that_is_asked_for(
    tmp_path: Path, labels: tuple[str, ...], none: dict[str, float]
) -> None:
    data = read_dataset(write(tmp_path / "x.csv", many(60, labels)), blank=True)
    rows = [*data.train, *data.test]
    assert all(row.labelled for row in rows) and sum(row.target == none for row in rows) == 60 / len(labels)
    assert data.control.keys() == tuple(sorted({key for label in labels for key in label.split("|") if key}))


def test_empty_cells_are_unlabelled_otherwise(tmp_path: Path) -> None:
    data = read_dataset(write(tmp_path / "x.csv", many(60, ("a", "", "b"))))
    assert sum(row.labelled for row in [*data.train, *data.test]) == 40 and all(row.labelled for row in data.test)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("said", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_columns_and_lines_end_as_in_spreadsheets(
    tmp_path: Path, separator: str, end: str, said: bool, encoding: str
) -> None:
    path = tmp_path / "rows.csv"
    lines = [["label", "text", ""], ["A", '"a, b; c\td"', ""], ["B", "e", ""]]
    text = end.join([f"sep={separator}"] * said + [separator.join(line) for line in lines])
    path.write_bytes(text.encode(encoding))
    assert read_rows(path) == [("a, b; c\td", ("A",)), ("e", ("B",))]


def test_a_column_name_with_other_separators_in_it_does_not_matter(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "text,label,a;b;c;d\ne,A,x\nf,B,y\n")
    assert read_rows(path)[0] == ("e", ("A",))


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_byte_that_is_no_text_is_told_with_its_line(tmp_path: Path, end: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(end.join(["text,label", "a,A", "caf\u00e9,B"]).encode("latin-1"))
    with pytest.raises(DataError, match=r"line 3: the byte E9 is not UTF-8"):
        read_rows(path)


def test_a_text_with_an_unquoted_comma_does_not_become_a_label(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\na,A\nhello, world,B\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 3: 3 cells, but the first line names 2 columns: .* comma in quotes"):
        read_rows(path)


@pytest.mark.parametrize("start", [b"\x1f\x8b\x08", b"PAR1", b"%PDF-1.4"])
def test_what_is_no_table_is_called_by_its_name(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(start + b"\x00\xff")
    with pytest.raises(DataError, match=r"is compressed with gzip|is a Parquet file|is a PDF"):
        read_rows(path)
