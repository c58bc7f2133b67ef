"""`understudy train-prior`: a prior of one's own is trained, written, and taken by the product."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from backend.base_model.encoders import Encoders
from backend.cli.main import main
from backend.settings.settings import load_settings

PEOPLE = ("Ada", "Bob", "Cleo", "Dan", "Eve", "Finn")


def write_set(folder: Path, name: str, rows: list[dict[str, object]]) -> None:
    (folder / name).mkdir(parents=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / name / "train.jsonl").write_text(lines, encoding="utf-8")


def people() -> list[dict[str, object]]:
    return [
        {"text": f"{name} went home.", "spans": [{"start": 0, "end": len(name), "label": "person"}]} for name in PEOPLE
    ]


@pytest.mark.slow
def test_a_prior_of_ones_own_is_what_the_product_reads_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    shipped = Encoders(load_settings()).span_tools().reader.prior
    write_set(tmp_path / "sets", "people", people())
    done = CliRunner().invoke(main, ["train-prior", str(tmp_path / "sets"), "--steps", "3"])
    assert done.exit_code == 0, done.output
    own = Encoders(load_settings()).span_tools().reader.prior
    assert shipped is not None and own is not None and own.name != shipped.name
    assert own.digest == shipped.digest


@pytest.mark.parametrize("rows, told", [(None, "no folder with a train.jsonl"), ([], "people/train.jsonl is empty")])
def test_what_cannot_be_trained_from_is_refused_in_one_line(
    rows: list[dict[str, object]] | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "sets").mkdir()
    if rows is not None:
        write_set(tmp_path / "sets", "people", rows)
    done = CliRunner().invoke(main, ["train-prior", str(tmp_path / "sets")])
    assert done.exit_code == 1 and told in done.output and "Traceback" not in done.output
