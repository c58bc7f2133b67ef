"""The learning bench in small: resumed, reported, judged against the goals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backend.settings.settings import current_settings
from bench.learning import GOALS, main, shortfalls, summarise
from tests.backend.cli.test_simulate import letters
from tests.model.conftest import tiny_model  # noqa: F401


def test_goals_name_what_falls_short() -> None:
    goal = GOALS["agnews"][64]
    assert shortfalls("agnews", 64, *goal, ece=0.06) == []
    assert shortfalls("agnews", 64, goal[0] - 0.02, goal[1], ece=0.07) == ["accuracy -0.020", "ECE +0.010"]
    assert shortfalls("agnews", 16, 1, 1, ece=0.08) == []
    assert shortfalls("unknown", 16, 0, 0, ece=0.09) == ["ECE +0.010"]


def test_medians_are_over_the_seeds() -> None:
    rows = [
        {"set": "x", "strategy": "random", "method": "prior-LR", "n": 16, "seed": seed, "accuracy": value}
        | dict.fromkeys(("macro_f1", "ece", "refit_seconds", "peak_mib"), 0.01)
        for seed, value in enumerate((0.5, 0.9, 0.6))
    ]
    (row,) = summarise(rows)
    assert row["accuracy"] == 0.6 and row["seeds"] == 3 and row["goals"] == "reached"


def test_the_bench_goes_on_where_it_stopped(
    tiny_model: Any,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BASE_MODEL", str(tiny_model("bert")[0]))
    current_settings.cache_clear()
    results, out = tmp_path / "r.jsonl", tmp_path / "out"
    common = [
        "--data",
        str(letters(tmp_path / "toy.csv")),
        "--results",
        str(results),
        "--no-finetune",
        "--threads",
        "1",
    ]
    main([*common, "--labels", "0,8", "--seeds", "1", "--peers", "tfidf"])
    main([*common, "--labels", "0,8,16", "--seeds", "1", "--peers", "tfidf", "--json"])
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    assert sorted((row["method"], row["n"]) for row in rows) == [
        *[("TF-IDF + LR", 8), ("TF-IDF + LR", 16), ("prior-LR", 8), ("prior-LR", 16), ("zero-shot", 0)]
    ], "each once"
    assert all(row["peak_mib"] > 50 and row["set"] == "toy" for row in rows)
    capsys.readouterr()
    main(["--report", str(results), "--out", str(out)])
    assert "understudy, random" in capsys.readouterr().out
    page = (out / "learning.md").read_text()
    assert page.startswith("# Learning curves") and page.count("\n| ") == 2 + 5
    assert (out / "learning-toy.png").read_bytes().startswith(b"\x89PNG")
