"""`understudy export` on a real store: the directory answers as the version does, and says what it is."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from backend.cli.main import main
from backend.errors import BadRequest, Conflict, NotFound
from backend.export import export
from backend.export.export import export_version
from backend.export.wish import Wish
from backend.jobs.learn.refit import refit
from backend.labelstudio.records import ExampleRecord
from model.export import parity, run
from model.export.parity import load_program
from tests.backend.export.leaks import require_clean
from tests.support.bare import bare_python
from tests.support.marked_project import spans_config
from tests.support.tiny import settings, tiny_base  # noqa: F401

PROJECT = 7
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
            {"text": f"{'a b' if number % 2 else 'c d'} secret{number}"},
            {"label": [["a b" if number % 2 else "c | d"]]},
            f"2026-01-01T00:00:{number:02d}Z",
            number % 3,
        )
        for number in range(1, 25)
    ]
    context.stores.examples.upsert_many(PROJECT, records)
    assert refit(PROJECT) == "published"
    return context


@pytest.mark.long
def test_a_version_leaves_and_answers_alike(learned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.cli.export.model.current_settings", lambda: learned.settings)
    monkeypatch.setattr("sys.dont_write_bytecode", False)  # as users run it
    done = CliRunner().invoke(main, ["export", "7", "-o", str(tmp_path / "model"), "--int8", "--accept-loss", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["control"] == "label" and told["parity"][0]["agreement"] == 1
    files = {path.name for path in (tmp_path / "model").iterdir()}
    wanted = {
        "README.md",
        "files.py",
        "model.int8.onnx",
        "model.json",
        "model.onnx",
        "parity.json",
        "predict.py",
        "terms.py",
        "tokenizer.json",
    }
    assert files == wanted
    live = learned.live_model(PROJECT, told["version"])
    texts = [{"text": f"a b {number}"} for number in range(5)]
    given = load_program(tmp_path / "model").Model(tmp_path / "model")(texts)
    assert [one["labels"] for one in given] == [
        [live.spec.control("label").show(key) for key in answers[0].chosen] for answers in live.predict(texts)
    ]
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "c \\| d" in card and told["version"] in card
    require_clean(learned, tmp_path / "model", tmp_path)
    for command in ([tmp_path / "model" / "predict.py"], [run.__file__, tmp_path / "model"]):
        answered = answer_alone(command, [one["text"] for one in texts], tmp_path)
        assert answered == [{**row, "answer": "".join(one["labels"])} for row, one in zip(texts, given, strict=True)]
    assert {path.name for path in (tmp_path / "model").iterdir()} == wanted, "nothing is left in it"
    with pytest.raises(BadRequest, match="there already"):
        export_version(learned.settings, Wish(PROJECT, tmp_path / "model"))


def answer_alone(command: list[Any], texts: list[str], where: Path) -> list[dict[str, str]]:
    """Rows of a table that a Python with two packages has answered: no Redis, no server, none of our code but that of
    the command."""
    (where / "in.csv").write_text("\n".join(["text", *texts]), encoding="utf-8")
    ended = subprocess.run(
        [bare_python(), "-I", *command, where / "in.csv", "-o", where / "out.csv"], env={}, cwd=where, check=False
    )
    assert ended.returncode == 0
    with (where / "out.csv").open(encoding="utf-8", newline="") as file:
        return [{name: row[name] for name in ("text", "answer")} for row in csv.DictReader(file)]


def test_a_graph_that_answers_otherwise_is_not_kept(
    learned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(source: Any, directory: Path) -> None:
        directory.mkdir()
        (directory / "model.onnx").write_bytes(b"graph")

    found = parity.Parity("model.onnx", 24, 0.5, 0.2, 0.9, 1.0, 1.0, 0.1)
    monkeypatch.setattr("model.export.bundle.write_bundle", write)
    monkeypatch.setattr("model.export.parity.measure_parity", lambda *given: found)
    with pytest.raises(Conflict, match=r"50\.0%.*--accept-loss"):
        export_version(learned.settings, Wish(PROJECT, tmp_path / "model"))
    assert not list(tmp_path.glob("*model*"))
    taken = export_version(learned.settings, Wish(PROJECT, tmp_path / "model", accept_loss=True))
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert taken.refused == () and "50.0%" in card and "**model.onnx answers otherwise** than is allowed" in card


def test_what_is_not_known_is_told(learned: Any, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="project 8"):
        export_version(learned.settings, Wish(8, tmp_path / "model"))
    with pytest.raises(BadRequest, match="those that can be exported are label"):
        export_version(learned.settings, Wish(PROJECT, tmp_path / "model", control="mood"))
    learned.stores.projects.save_config(9, CONFIG)
    with pytest.raises(NotFound, match="no version yet"):
        export_version(learned.settings, Wish(9, tmp_path / "model"))
    assert export.LEAST_TEXTS <= 24 and not list(tmp_path.glob("*model*"))


@pytest.mark.long
def test_a_project_that_marks_text_leaves_and_marks_alike(
    context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context.stores.projects.save_config(PROJECT, spans_config(["LOC", "PER"]))
    texts = [f"{'a b' if number % 2 else 'c d'} e f {number}" for number in range(24)]
    records = [
        ExampleRecord(
            number + 1,
            number + 1,
            {"text.page": text},
            {},
            f"2026-01-01T00:00:{number:02d}Z",
            1,
            spans={"label": [(0, 1, "PER" if number % 2 else "LOC")]},
        )
        for number, text in enumerate(texts)
    ]
    context.stores.examples.upsert_many(PROJECT, records)
    assert refit(PROJECT) == "published"
    monkeypatch.setattr("backend.cli.export.model.current_settings", lambda: context.settings)
    done = CliRunner().invoke(main, ["export", "7", "-o", str(tmp_path / "model"), "--accept-loss", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["parity"][0]["agreement"] == 1 and told["parity"][0]["mean_difference"] < 1e-3
    live = context.live_model(PROJECT, told["version"])
    given = load_program(tmp_path / "model").Model(tmp_path / "model")([{"text": text} for text in texts])
    wanted = [answers[0].spans for answers in live.predict([{"text.page": text} for text in texts])]
    assert [[(one["start"], one["label"]) for one in answer["spans"]] for answer in given] == [
        [(one.start, one.label) for one in own] for own in wanted
    ]
    assert any(wanted)
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "token-classification" in card and "| PER | 12 |" in card
    assert "[PER" not in card and "marked" in card
