"""`understudy simulate --base-model A,B` says what another encoder would bring, and what it costs."""

from __future__ import annotations

import json
import re
from pathlib import Path

from click.testing import CliRunner

from backend.cli.main import main
from tests.model.conftest import TinyModel, tiny_model  # noqa: F401


def table(path: Path) -> Path:
    """Texts of letters, whose label is one of them."""
    lines = [
        f"{'ab cd ef'[number % 3 :][:2]} {'abcdefgh'[number % 8]} {number},{'xy'[number % 2]}" for number in range(60)
    ]
    path.write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_encoders_are_compared_on_the_same_labels(tiny_model: TinyModel, tmp_path: Path) -> None:  # noqa: F811
    first, second = tiny_model("bert")[0], tiny_model("roberta", pooling="cls")[0]
    plan = ["--labels", "0,16", "--seeds", "1", "--no-finetune", "--peers", "none", "--threads", "1"]
    command = ["simulate", str(table(tmp_path / "rows.csv")), *plan, "--base-model", f"{first},{second}"]
    shown = CliRunner().invoke(main, command)
    assert shown.exit_code == 0, shown.output
    line = shown.output.strip().splitlines()[-1]
    said = r"points at 0 labels, [+-]\d+\.\d points at 16 labels; \d+\.\d x the time of a text, \d+ MiB of weights"
    assert line.startswith(f"{second} against {first}: ") and re.search(said, line), line
    told = CliRunner().invoke(main, [*command, "--json"])
    rows = [json.loads(row) for row in told.stdout.splitlines()]
    assert [(row["encoder"], row["n"]) for row in rows] == [(str(e), n) for e in (first, second) for n in (0, 16)]
    assert all(row["encode_ms"] > 0 and row["weights_mb"] >= 0 for row in rows)


def test_no_encoder_and_one_that_is_not_there_are_one_line(tmp_path: Path) -> None:
    path = str(table(tmp_path / "rows.csv"))
    none = CliRunner().invoke(main, ["simulate", path, "--base-model", ","])
    assert none.exit_code == 2 and "names no encoder" in none.output


def test_every_encoder_is_found_before_the_first_is_measured(tiny_model: TinyModel, tmp_path: Path) -> None:  # noqa: F811
    path, first = str(table(tmp_path / "rows.csv")), tiny_model("bert")[0]
    plan = ["--labels", "0", "--seeds", "1", "--no-finetune", "--peers", "none", "--threads", "1", "--json"]
    ended = CliRunner().invoke(main, ["simulate", path, *plan, "--base-model", f"{first},{tmp_path / 'nowhere'}"])
    assert ended.exit_code == 1 and "nowhere" in ended.stderr and not ended.stdout
