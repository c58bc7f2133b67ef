"""The learning bench in small: resumed, reported, judged against the goals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.settings.settings import current_settings
from bench.learning import GOALS, main, shortfalls, summarise
from bench.support.texts import Package, choice_control, choose_packages, plain_description
from model.duplicates.labelled import group_labelled
from model.kernels.int8_product import int8_works
from model.spec import Sample
from tests.backend.cli.test_simulate import letters
from tests.model.conftest import tiny_model  # noqa: F401
from tests.support import number_formats
from tests.support.changes import known_answers, losses_of, mix


def test_goals_name_what_falls_short() -> None:
    goal = GOALS["agnews"][64]
    assert shortfalls("agnews", 64, *goal, ece=0.06) == []
    assert shortfalls("agnews", 64, goal[0] - 0.02, goal[1], ece=0.07) == ["accuracy -0.020", "ECE +0.010"]
    assert shortfalls("agnews", 16, 1, 1, ece=0.08) == []
    assert shortfalls("unknown", 16, 0, 0, ece=0.09) == ["ECE +0.010"]


def test_a_description_keeps_its_paragraphs_and_gains_no_blanks_in_japanese() -> None:
    assert plain_description("Spiel\n Eine lange\n Zeile.\n .\n Noch eine.") == "Spiel\nEine lange Zeile.\nNoch eine."
    assert plain_description("ゲーム\n これは長い\n 行です。") == "ゲーム\nこれは長い行です。"
    assert plain_description("게임\n 긴 줄\n 입니다.") == "게임\n긴 줄 입니다."
    assert plain_description("T\n " + "a" * 400 + "\n .\n cut") == "T\n" + "a" * 400


def test_one_package_a_source_that_is_translated() -> None:
    names = {"lib": "src", "lib-dev": "src", "same": "other", "half": "third", "toy": "toys", "unknown": "none"}
    packages = {(name, "1"): Package(source, "games") for name, source in names.items()}
    packages["unknown", "1"] = Package("none", "perl")
    own = {key: key[0].upper() for key in packages} | {("half", "1"): "x <trans>", ("same", "1"): "same"}
    english = {key: key[0] for key in packages}
    assert sorted(choose_packages(packages, own, english)) == [("lib", "1"), ("toy", "1")]


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


def test_every_change_is_taken_back_in_turn(
    tiny_model: Any,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BASE_MODEL", str(tiny_model("bert")[0]))
    current_settings.cache_clear()
    results, out = tmp_path / "r.jsonl", tmp_path / "out"
    common = ["--changes", "--results", str(results), "--no-finetune", "--no-queue", "--threads", "1", "--seeds", "1"]
    for _ in range(2):
        main([*common, "--data", str(letters(tmp_path / "toy.csv")), "--labels", "0,16", "--out", str(out)])
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    found = [(row["method"], row["n"]) for row in rows]
    assert len(set(found)) == len(found) and {("all changes", 16), ("duplicates", 16), ("sureness (0081)", 0)} <= {
        *found
    }
    assert "without sureness" in (out / "changes.md").read_text()


def test_what_a_change_makes_worse_in_every_order_is_told() -> None:
    def cell(*accuracies: float) -> dict[int, Any]:
        return {seed: {"accuracy": one, "log_loss": 0.5, "ece": 0.1} for seed, one in enumerate(accuracies)}

    before = cell(0.8, 0.8, 0.8)
    assert losses_of(cell(0.78, 0.77, 0.78), before) == ["accuracy"]
    assert losses_of(cell(0.78, 0.77, 0.81), before) == [], "not in every order"
    assert losses_of(cell(0.795, 0.795, 0.795), before) == [], "within noise"


def test_labels_are_carried_over_to_duplicates_among_the_tests() -> None:
    control = choice_control(["a", "b"])
    samples = [Sample(n, (f"the very same words stand here {n}",), {"a": 1.0}) for n in range(30)]
    tests = [Sample(0, ("The very same words stand here 1",), {"a": 1.0}), Sample(1, ("others",), {"b": 1.0})]
    known = known_answers(group_labelled(control, samples), tests)
    assert list(known) == [0] and known[0].answers[0][0] == ("a",)
    assert mix(np.array([0.2, 0.8]), ("a", "b"), known[0], False)[0] > 0.9


@pytest.mark.long
@pytest.mark.skipif(not int8_works(1152, 384), reason="this CPU has no exact int8 product")
def test_formats_are_compared_on_the_same_orders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results, out = tmp_path / "r.jsonl", tmp_path / "out"
    common = ["--formats", "--results", str(results), "--no-finetune", "--threads", "1", "--seeds", "1,2"]
    for labels in ("8", "8,16"):
        main([*common, "--data", str(letters(tmp_path / "toy.csv")), "--labels", labels, "--out", str(out)])
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    found = [(row["method"], row["n"], row["seed"]) for row in rows]
    assert sorted(found) == [(m, n, s) for m in ("fp32", "int8") for n in (8, 16) for s in (1, 2)], "each once"
    page = (out / "formats.md").read_text()
    assert page.startswith("# Learning in int8 beside float32") and page.count("\n| toy |") == 3
    assert "| toy | all |" in page and "int8 beside float32" in capsys.readouterr().out


def test_a_difference_is_paired_by_order() -> None:
    def row(method: str, seed: int, accuracy: float) -> dict[str, Any]:
        known = {"macro_f1": accuracy, "log_loss": 0.5, "ece": 0.02}
        return {"set": "x", "method": method, "n": 16, "seed": seed, "accuracy": accuracy, **known}

    rows = [row("fp32", 1, 0.5), row("int8", 1, 0.51), row("fp32", 2, 0.9), row("int8", 2, 0.9), row("fp32", 3, 0.1)]
    (line,) = number_formats.table_of(rows)
    assert line["accuracy"] == "70.50 / 70.00 (+0.50 ± 0.50)" and line["orders"] == 2
