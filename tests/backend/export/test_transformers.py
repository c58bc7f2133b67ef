"""`understudy export --format transformers` on a real store: a pipeline of transformers loads it, and answers alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from backend.cli.main import main
from backend.jobs.learn.refit import refit
from backend.labelstudio.records import ExampleRecord
from tests.backend.export.leaks import require_clean
from tests.support.marked_project import spans_config
from tests.support.tiny import settings, tiny_base  # noqa: F401

PROJECT = 7
STOCK = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
CONFIG = (
    '<View><Text name="text" value="$text"/><Choices name="label" toName="text">'
    '<Choice value="a b"/><Choice value="c | d"/></Choices></View>'
)


@pytest.fixture
def learned(context: Any) -> Any:
    context.stores.projects.save_config(PROJECT, CONFIG)
    records = [
        ExampleRecord(
            number,
            number,
            {"text": f"{'a b' if number % 2 else 'c d'} secret {'abcdefgh'[number % 8]} {'efgh'[number % 4]} {number}"},
            {"label": [["a b" if number % 2 else "c | d"]]},
            f"2026-01-01T00:00:{number % 60:02d}Z",
            number % 3,
        )
        for number in range(1, 81)
    ]
    context.stores.examples.upsert_many(PROJECT, records)
    assert refit(PROJECT) == "published"
    return context


def test_a_pipeline_of_transformers_answers_as_the_version(
    learned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import pipeline

    monkeypatch.setattr("backend.cli.export.model.current_settings", lambda: learned.settings)
    monkeypatch.setattr("sys.dont_write_bytecode", False)  # as users run it
    given = ["export", "7", "-o", str(tmp_path / "model"), "--format", "transformers", "--accept-loss", "--json"]
    done = CliRunner().invoke(main, given)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["parity"][0]["agreement"] >= 0.9
    files = {path.name for path in (tmp_path / "model").iterdir()}
    assert files == {"README.md", "parity.json", *STOCK}
    config = json.loads((tmp_path / "model" / "config.json").read_text(encoding="utf-8"))
    assert config["problem_type"] == "single_label_classification"
    assert sorted(config["label2id"]) == ["a b", "c | d"]
    classify = pipeline("text-classification", str(tmp_path / "model"), device="cpu")
    assert classify("a b a a")[0]["label"] == "a b"
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "library_name: transformers" in card and "**distilled**" in card
    report = json.loads((tmp_path / "model" / "parity.json").read_text(encoding="utf-8"))
    assert report["how"] == "distilled" and report["accuracy"]["n"] > 0
    assert ("answers otherwise" in card) == ("accepted_loss" in report)
    require_clean(learned, tmp_path / "model", tmp_path)


@pytest.fixture
def marked(context: Any) -> Any:
    context.stores.projects.save_config(PROJECT, spans_config(["LOC", "PER"]))
    records = [
        ExampleRecord(
            number,
            number,
            {"text.page": f"{'a b' if number % 2 else 'c d'} secret {'abcdefgh'[number % 8]} {number}"},
            {},
            f"2026-01-01T00:00:{number % 60:02d}Z",
            1,
            spans={"label": [(0, 1, "PER" if number % 2 else "LOC")]},
        )
        for number in range(1, 61)
    ]
    context.stores.examples.upsert_many(PROJECT, records)
    assert refit(PROJECT) == "published"
    return context


def test_marked_text_leaves_as_a_stock_classifier_of_tokens(
    marked: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import pipeline

    monkeypatch.setattr("backend.cli.export.model.current_settings", lambda: marked.settings)
    given = ["export", "7", "-o", str(tmp_path / "model"), "--format", "transformers", "--minutes", "0.2"]
    monkeypatch.setattr("model.export.stock.distil.LEAST_STEPS", 8)  # it learns next to nothing
    monkeypatch.setattr("model.export.stock.distil.EPOCHS", 1)
    refused = CliRunner().invoke(main, given)
    assert refused.exit_code == 1
    assert "of regions as v0.1 does" in refused.output and "--accept-loss" in refused.output
    assert not (tmp_path / "model").exists()
    done = CliRunner().invoke(main, [*given, "--accept-loss", "--json"])
    assert done.exit_code == 0, done.output
    files = {path.name for path in (tmp_path / "model").iterdir()}
    assert files == {"README.md", "parity.json", *STOCK}
    config = json.loads((tmp_path / "model" / "config.json").read_text(encoding="utf-8"))
    assert list(config["id2label"].values()) == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    mark = pipeline("token-classification", str(tmp_path / "model"), aggregation_strategy="simple", stride=32)
    assert all({"entity_group", "start", "end", "score"} <= one.keys() for one in mark("a b c"))
    report = json.loads((tmp_path / "model" / "parity.json").read_text(encoding="utf-8"))
    assert report["accuracy"]["measure"] == "f1" and report["accuracy"]["n"] > 0
    assert report["how"] == "distilled" and report["accepted_loss"] == ["model.safetensors"]
    assert report["parity"][0]["of"] == "spans"
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert 'aggregation_strategy="' in card and "the F1 of its spans" in card and "answers otherwise" in card
    require_clean(marked, tmp_path / "model", tmp_path)
