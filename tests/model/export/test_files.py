"""Files of texts are answered in their own format, row by row, and what is wrong with one is told by its number."""

from __future__ import annotations

import csv
import importlib
import json
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from model.export.files import ROWS, answer_file

ROOT = Path(__file__).parents[3]


class Echo:
    """Answers with the first word; of `several` with all."""

    def __init__(self, several: bool = False) -> None:
        self.spec: dict[str, object] = {"inputs": ["text"], "several": several}
        self.seen: list[int] = []

    def __call__(self, tasks: Sequence[dict[str, object]]) -> list[dict[str, object]]:
        self.seen.append(len(tasks))
        found = []
        for task in tasks:
            words = str(task["text"]).split()
            found.append({"labels": words if self.spec["several"] else words[:1], "score": 0.5, "ranking": []})
        return found


def run(name: str, content: str, where: Path, model: Any = None) -> str:
    (where / name).write_text(content, encoding="utf-8")
    answer_file(model or Echo(), where / name, where / "out")
    return (where / "out").read_text(encoding="utf-8")


def test_a_table_comes_back_with_two_columns_more(tmp_path: Path) -> None:
    rows = [["id", "text", "note"], ["1", 'a "quoted", comma', ""], ["2", "two\nlines", "ü"], ["3", "", "x"]]
    with (tmp_path / "in.csv").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(rows)
    answer_file(Echo(), tmp_path / "in.csv", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.reader(file))
    assert found[0] == [*rows[0], "answer", "answer_score"]
    assert [row[:3] for row in found[1:]] == rows[1:]
    assert [row[3:] for row in found[1:]] == [["a", "0.5"], ["two", "0.5"], ["", "0.5"]]
    assert '"[""a"", ""b""]"' in run("sets.csv", "text\na b\n", tmp_path, Echo(several=True))
    assert '"[""a""]"' in run("sets.csv", "text\na\n", tmp_path, Echo(several=True)), (
        "one label of a set is a list, too"
    )


def test_lines_keep_what_they_hold_and_a_row_without_a_text_has_no_answer(tmp_path: Path) -> None:
    given = [{"text": "a b", "more": {"x": [1]}}, {"text": None}, {"text": "日本"}]
    found = [json.loads(line) for line in run("in.jsonl", "\n".join(map(json.dumps, given)), tmp_path).splitlines()]
    assert [{name: row[name] for name in row if name != "answer"} for row in found] == given
    assert [row["answer"] and row["answer"]["labels"] for row in found] == [["a"], None, ["日本"]]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    table = pyarrow.table({"n": pyarrow.array([1, 2], pyarrow.int16()), "text": ["a b", None]})
    parquet.write_table(table, tmp_path / "in.parquet")
    answer_file(Echo(), tmp_path / "in.parquet", tmp_path / "out.parquet")
    found = parquet.read_table(tmp_path / "out.parquet")
    assert found.schema.field("n").type == pyarrow.int16()
    assert found.to_pylist() == [
        {"n": 1, "text": "a b", "answer": "a", "answer_score": 0.5},
        {"n": 2, "text": None, "answer": None, "answer_score": None},
    ]
    with pytest.raises(ValueError, match="name a file"):
        answer_file(Echo(), tmp_path / "in.parquet", None)


def test_a_long_file_is_read_in_portions(tmp_path: Path) -> None:
    model = Echo()
    run("in.csv", "text\n" + "a\n" * (2 * ROWS + 3), tmp_path, model)
    assert model.seen == [ROWS, ROWS, 3]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("in.csv", "text\na,b\n", "row 1 has more columns"),
        ("in.csv", "body\na\n", "row 1 has no 'text'; it has 'body'"),
        ("in.csv", "text,answer\na,b\n", "an `answer` already"),
        ("in.jsonl", '{"text": "a"}\n{"text": ', "line 2 is no JSON"),
        ("in.jsonl", "[1]\n", "line 1 is no JSON object"),
        ("out", '{"text": "a"}\n', "the output is the file itself"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, name: str, content: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        run(name, content, tmp_path)


def test_the_output_is_called_after_the_format(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\na\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"call the output out\.csv"):
        answer_file(Echo(), tmp_path / "in.csv", tmp_path / "out.jsonl")


def test_the_command_says_what_it_needs(tmp_path: Path) -> None:
    for arguments, said in (([], "understudy-run DIR FILE"), ([str(tmp_path), "x.csv"], "is no exported directory")):
        done = subprocess.run([sys.executable, "-m", "model.export.run", *arguments], capture_output=True, text=True)
        assert done.returncode == 1 and said in done.stderr, done.stderr


def test_the_command_is_installed() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    module, _, function = scripts["understudy-run"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))
