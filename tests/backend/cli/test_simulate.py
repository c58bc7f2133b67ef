"""`understudy simulate` on small files, with the real learner on the packaged encoder or on a tiny random one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from backend.cli.main import main
from backend.settings.settings import current_settings
from tests.model.conftest import tiny_model  # noqa: F401
from tests.support.rig import SAMPLE, read_rows

KEYS = ("strategy", "n", "seed", "accuracy", "macro_f1", "ece", "refit_seconds", "method")


@pytest.fixture
def encoder(tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:  # noqa: F811
    """A tiny random encoder, for what does not depend on what is learned."""
    directory, _ = tiny_model("bert")
    monkeypatch.setenv("BASE_MODEL", str(directory))
    current_settings.cache_clear()
    yield
    current_settings.cache_clear()


def letters(path: Path, rows: int = 120, labels: tuple[str, ...] = ("first_half", "second")) -> Path:
    """Texts of letters that the tiny tokenizer knows; the first one decides."""
    lines = ["text,label"]
    for number in range(rows):
        which = number % len(labels)
        words = " ".join("abcdefghijkl"[(number * step + which) % 12] for step in (1, 5, 7, 11))
        lines.append(f"{'ag'[which % 2]} {words} {'b ' * (number // 12)},{labels[which]}")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["simulate", *map(str, arguments)])


def rows_of(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_json_prints_one_row_per_seed_strategy_and_count_and_nothing_else(encoder: None, tmp_path: Path) -> None:
    file = letters(tmp_path / "x.csv")
    chosen = "random,bald,margin_clusters"
    rows = rows_of(
        run(file, "--labels", "24,0,8", "--seeds", 2, "--strategy", chosen, "--no-finetune", "--threads", 1, "--json")
    )
    wanted = [(s, n, seed) for seed in (0, 1) for s in chosen.split(",") for n in (0, 8, 24)]
    assert [(row["strategy"], row["n"], row["seed"]) for row in rows] == wanted
    for row in rows:
        assert set(KEYS) <= set(row) and tuple(row)[:6] == KEYS[:6]
        assert all(0 <= row[key] <= 1 for key in ("accuracy", "macro_f1", "ece")) and row["refit_seconds"] > 0
        assert row["method"] == ("prior-LR" if row["n"] else "zero-shot")
    at_zero = {(row["seed"], row["accuracy"]) for row in rows if row["n"] == 0}
    assert len(at_zero) <= 2, "before the first label the strategies do not differ"


@pytest.mark.slow
def test_the_real_learner_learns_and_peers_run_on_request(tmp_path: Path) -> None:
    rows = read_rows(SAMPLE)
    names = sorted({label for _, label in rows})[:3]
    short = [(t, label) for t, label in rows if label in names and len(t) < 120][:110]
    file = tmp_path / "x.csv"
    file.write_text("text,label\n" + "".join(f'"{t.replace(chr(34), "")}",{label}\n' for t, label in short))
    found = rows_of(run(file, "--labels", "0,40", "--seeds", 1, "--peers", "tfidf,lr", "--no-finetune", "--json"))
    by_method = {row["method"]: row for row in found}
    assert list(by_method) == ["zero-shot", "prior-LR", "TF-IDF + LR", "LR on embeddings"]
    assert by_method["prior-LR"]["accuracy"] > 1 / 3 and by_method["LR on embeddings"]["accuracy"] > 1 / 3
    assert {row["classes"] for row in found} == {3} and len({row["test_rows"] for row in found}) == 1


def test_a_cache_makes_the_second_run_encode_nothing_and_repeat_itself(encoder: None, tmp_path: Path) -> None:
    file = letters(tmp_path / "x.csv")
    common = (file, "--labels", "16", "--seeds", "5,7", "--no-finetune", "--json", "--cache", tmp_path / "cache")
    first, second = (rows_of(run(*common)) for _ in range(2))
    assert [row["seed"] for row in first] == [5, 7]
    assert [row["accuracy"] for row in first] == [row["accuracy"] for row in second]
    assert (tmp_path / "cache" / "data.mdb").exists()


def test_sets_are_measured_as_sets(encoder: None, tmp_path: Path) -> None:
    file = letters(tmp_path / "x.csv", labels=("a|b", "b", "c"))
    rows = rows_of(
        run(file, "--labels", "0,20", "--seeds", 1, "--no-finetune", "--json", "--peers", "all", "--threads", 1)
    )
    assert all("micro_f1" in row and row["classes"] == 3 for row in rows)
    assert [row["method"] for row in rows[-2:]] == ["HumanSignal fine-tune", "SetFit"]


@pytest.mark.long
def test_fine_tunes_happen_where_the_policy_says_so(
    encoder: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINETUNE_STEPS", "3")
    current_settings.cache_clear()
    file = letters(tmp_path / "x.csv")
    rows = rows_of(run(file, "--labels", "16,40,44,60", "--seeds", 1, "--threads", 1, "--json"))
    told = {row["n"]: row for row in rows}
    assert [n for n in told if told[n]["finetune_seconds"] is not None] == [40, 60], "32 labels, then 25 % growth"
    assert all("held out" in told[n]["finetune"] or "macro-F1" in told[n]["finetune"] for n in (40, 60))
    methods = {"prior-LR", "prior-LR + fine-tune"}
    assert {row["method"] for row in rows} <= methods and told[16]["method"] == "prior-LR"


def test_tables_and_pictures_are_for_people(encoder: None, tmp_path: Path) -> None:
    plot = tmp_path / "curve.png"
    result = run(letters(tmp_path / "x.csv"), "--labels", "0,16", "--seeds", 1, "--no-finetune", "--plot", plot)
    assert result.exit_code == 0, result.output
    assert "understudy, random" in result.stdout and "TF-IDF + LR" in result.stdout and "macro-F1" in result.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_more_labels_than_rows_become_all_rows(encoder: None, tmp_path: Path) -> None:
    result = run(letters(tmp_path / "x.csv", 60), "--labels", "8,500,900", "--seeds", 1, "--no-finetune", "--json")
    counts = [row["n"] for row in rows_of(result)]
    assert len(counts) == 2 and counts[0] == 8 and counts[1] < 60
    assert f"500, 900 become {counts[1]}" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--strategy", "clever"), "unknown strategy clever; known: random, margin"),
        (("--peers", "gpt"), "unknown peer gpt; known: tfidf"),
        (("--labels", "some"), "'some' is not a list of whole numbers"),
        (("--labels", "-3"), "is not a list of whole numbers"),
        (("--seeds", "0"), "at least one seed"),
        (("--plot", "x.docx"), "written"),
        (("--project", "3"), "one of them"),
    ],
)
def test_bad_options_are_one_line_with_the_known_ones(
    encoder: None, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    result = run(letters(tmp_path / "x.csv", 40), "--labels", "4", "--seeds", 1, "--no-finetune", *arguments)
    assert result.exit_code != 0 and "Traceback" not in result.output
    assert words in " ".join(result.output.split())


def test_bad_files_are_one_line(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("words,class\na,b\n")
    for arguments, words in [
        ((file,), "column text and label is missing"),
        ((tmp_path / "none.csv",), "cannot be read"),
    ]:
        result = run(*arguments, "--json")
        assert result.exit_code == 1 and result.stdout == "" and words in result.stderr
        assert result.stderr.startswith("Error: ")
    assert run().exit_code == 2


def test_a_labelled_project_is_replayed(
    encoder: None, stores: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.labelstudio.records import ExampleRecord
    from tests.support.rig import choices_config

    stores.projects.save_config(7, choices_config(["A", "B"]))
    records = [
        ExampleRecord(
            i, i, {"text": f"{'ab'[i % 2]} {'c ' * i}"}, {"label": [["AB"[i % 2]]]}, f"2026-01-01T00:00:{i:02d}Z"
        )
        for i in range(1, 60)
    ]
    stores.examples.upsert_many(7, records)
    stores.projects.add_pool(7, {100 + i: {"text": f"d {'e ' * i}"} for i in range(20)}, 100)
    monkeypatch.setenv("REDIS_URL", settings.redis_url)
    current_settings.cache_clear()
    rows = rows_of(run("--project", 7, "--labels", "0,16", "--seeds", 1, "--no-finetune", "--json"))
    assert [row["n"] for row in rows] == [0, 16] and rows[0]["classes"] == 2
    missing = run("--project", 8, "--json")
    assert missing.exit_code == 1 and "project 8 is not known here (known: 7)" in missing.stderr
    wrong = run("--project", 7, "--control", "mood")
    assert "no control 'mood'" in wrong.stderr
