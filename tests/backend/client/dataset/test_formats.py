"""Every format is read by the tool that it is for."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from backend.labelstudio.records import ExampleRecord
from tests.support.marking import Marks, sentences

PROJECT = 7
CONFIG = (
    '<View><Text name="text" value="$text"/>'
    '<Choices name="label" toName="text"><Choice value="A"/><Choice value="B, &quot;b&quot;"/></Choices>'
    '<Choices name="tags" toName="text" choice="multiple"><Choice value="x"/><Choice value="y"/></Choices>'
    '<Rating name="stars" toName="text"/></View>'
)
TEXTS = [
    "plain",
    "a, b",
    'say "b"',
    "two\nlines",
    "Straße \u4e1c \U0001f600",
    "half \ud83d",
    "<b>no markup</b>",
    "=1+1",
]
B = 'B, "b"'


@pytest.fixture
def choices(context: Any) -> Any:
    context.stores.projects.save_config(PROJECT, CONFIG)
    records = [
        ExampleRecord(
            number,
            number,
            {"text": text},
            {"label": [["A" if number % 2 else B]], "tags": [["x"], ["y"]][: number % 3], "stars": 1 + number % 5},
            f"2026-01-01T00:00:{number:02d}Z",
            number % 3,
        )
        for number, text in enumerate(TEXTS, 1)
    ]
    context.stores.examples.upsert_many(PROJECT, records)
    return context.stores


def read_json_lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def shown(text: str) -> str:
    return text.replace("\ud83d", "\ufffd")


def test_json_lines(ask: Any, choices: Any, tmp_path: Path) -> None:
    told = ask("-o", tmp_path / "labels.jsonl")
    rows = read_json_lines(tmp_path / "labels.jsonl")
    assert [row["texts"]["text"] for row in rows] == [shown(text) for text in TEXTS]
    assert told["rows"] == {
        part: sum(row["split"] == part for row in rows) for part in ("train", "test") if told["rows"].get(part)
    }
    assert len({row["annotations"][0]["annotator"] for row in rows}) == 3


def test_a_directory_has_a_file_for_each_part(ask: Any, choices: Any, tmp_path: Path) -> None:
    told = ask("-o", tmp_path / "out", "--format", "jsonl", "--test", "0.5")
    assert sorted(told["files"]) == [str(tmp_path / "out" / name) for name in ("test.jsonl", "train.jsonl")]
    parts = {part: read_json_lines(tmp_path / "out" / f"{part}.jsonl") for part in ("train", "test")}
    assert all(row["split"] == part for part, rows in parts.items() for row in rows)
    assert sum(map(len, parts.values())) == len(TEXTS)


def test_csv(ask: Any, choices: Any, tmp_path: Path) -> None:
    ask("-o", tmp_path / "labels.csv")
    with (tmp_path / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == [shown(text) for text in TEXTS]
    assert [row["label"] for row in rows][:2] == ["A", B]
    assert [json.loads(row["tags"]) for row in rows][:3] == [["x"], ["x", "y"], []]
    assert [row["stars"] for row in rows][:3] == ["2", "3", "4"]
    assert rows[0]["label_score"] == rows[0]["label_suspect"] == ""


def test_scikit_learn_trains_on_the_table(ask: Any, choices: Any, tmp_path: Path) -> None:
    import pandas
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    ask("-o", tmp_path / "labels.parquet")
    frame = pandas.read_parquet(tmp_path / "labels.parquet")
    fitted = make_pipeline(CountVectorizer(), LogisticRegression()).fit(frame["text"], frame["label"])
    assert set(fitted.predict(frame["text"])) <= {"A", B}
    assert [list(tags) for tags in frame["tags"]][:3] == [["x"], ["x", "y"], []]
    assert str(frame["stars"].dtype).lower().startswith("int") and frame["label_weight"].dtype == "float64"


def test_datasets_loads_the_directory(ask: Any, choices: Any, tmp_path: Path) -> None:
    import datasets

    told = ask("-o", tmp_path / "hf", "--format", "hf", "--test", "0.4")
    loaded = datasets.load_dataset(str(tmp_path / "hf"), cache_dir=str(tmp_path / "cache"))
    assert {part: len(loaded[part]) for part in loaded} == {"train": 0, "test": 0, **told["rows"]}
    row = next(row for row in loaded["train"] if row["label"] == B)
    assert json.loads(row["label_soft"]) == {B: 1.0} and isinstance(row["tags"], list)
    card = (tmp_path / "hf" / "README.md").read_text(encoding="utf-8")
    assert not any(shown(text) in card for text in TEXTS)


@pytest.fixture
def marked(context: Any) -> Any:
    marks = Marks(context)
    records = marks.add(sentences(12))
    text = "In New York City  Ann met\tBob"
    nested = [(3, 16, "LOC"), (3, 11, "LOC"), (18, 21, "PER"), (26, 29, "PER")]
    last = ExampleRecord(90, 90, {"text.page": text}, {}, "2026-01-02T00:00:00Z", 1, spans={"label": nested})
    marks.put([last])
    return [*records, last]


def conll(path: Path) -> list[list[tuple[str, str]]]:
    blocks = path.read_text(encoding="utf-8").strip("\n").split("\n\n")
    return [[tuple(line.split("\t")) for line in block.split("\n")] for block in blocks]  # type: ignore[misc]


def test_conll_has_every_span_that_does_not_lie_in_another(ask: Any, marked: Any, tmp_path: Path) -> None:
    told = ask("-o", tmp_path / "labels.conll")
    assert told["left_out"] == 1
    for record, block in zip(marked, conll(tmp_path / "labels.conll"), strict=True):
        text, found = record.texts["text.page"], []
        for word, tag in block:
            if tag.startswith("B-"):
                found.append([tag[2:], word])
            elif tag.startswith("I-"):
                assert found[-1][0] == tag[2:]
                found[-1][1] += word
        inner = (3, 11) if record is marked[-1] else None
        wanted = [(start, end, label) for start, end, label in record.spans["label"] if (start, end) != inner]
        assert found == [[label, "".join(text[start:end].split())] for start, end, label in sorted(wanted)]
        assert "".join(word for word, _ in block) == "".join(text.split())


def test_spacy_reads_the_words_and_all_spans(ask: Any, marked: Any, tmp_path: Path) -> None:
    import spacy
    from spacy.tokens import DocBin

    ask("-o", tmp_path / "labels.spacy")
    docs = list(DocBin().from_disk(tmp_path / "labels.spacy").get_docs(spacy.blank("en").vocab))
    assert len(docs) == len(marked)
    for record, doc in zip(marked, docs, strict=True):
        assert doc.text == record.texts["text.page"]
        spans = [(one.start_char, one.end_char, one.label_) for one in doc.spans["sc"]]
        assert sorted(spans) == sorted(record.spans["label"])
        assert all((one.start_char, one.end_char, one.label_) in spans for one in doc.ents)
    assert len(docs[-1].ents) == 3


def test_what_cannot_be_written_is_told(ask: Any, choices: Any, tmp_path: Path) -> None:
    assert "marks no text" in ask("-o", tmp_path / "labels.conll", fails=True)
    assert "say which --format" in ask("-o", tmp_path / "labels.xlsx", fails=True)
    (tmp_path / "taken").write_text("x")
    assert "is a file" in ask("-o", tmp_path / "taken", "--format", "hf", fails=True)
    assert "cannot be written" in ask("-o", tmp_path / "no" / "labels.csv", fails=True)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "data") == ["taken"]


def test_a_missing_package_is_named_before_anything_is_written(
    ask: Any, choices: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    whole = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "pyarrow" else whole(name, *more)
    )
    assert "pip install pyarrow" in ask("-o", tmp_path / "labels.parquet", fails=True)
    assert not (tmp_path / "labels.parquet").exists()


def test_a_stream_that_is_cut_off_leaves_no_file(
    ask: Any, choices: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.dataset.answers import RowMaker

    whole = RowMaker.make

    def fail(self: Any, task: int, *more: Any) -> Any:
        if task > 4:
            raise RuntimeError("gone")
        return whole(self, task, *more)

    monkeypatch.setattr(RowMaker, "make", fail)
    assert "broke off" in ask("-o", tmp_path / "labels.csv", fails=True)
    assert not list(tmp_path.glob("*labels*"))
