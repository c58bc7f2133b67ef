"""The fine-tune bench in small, on a tiny encoder: what it compares, judges and explains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.finetune import compare, explain, main
from bench.support.texts import read_split
from tests.model.conftest import tiny_model  # noqa: F401


def facts(cpu: float, accuracy: float) -> dict[str, Any]:
    return {"cpu_s": cpu, "accuracy": accuracy, "products_s": cpu / 2, "precision": "bf16"}


def test_a_bar_is_met_by_less_cpu_at_no_less_accuracy() -> None:
    rows = compare({"trainer": facts(60, 0.8), "all": facts(10, 0.8), "half": facts(6, 0.9)})
    assert [(row.get("times_less_cpu"), row.get("met")) for row in rows] == [(None, None), (6.0, True), (10.0, False)]
    (why,) = explain(rows)
    assert "50 %" in why and "20.0x" in why
    worse = compare({"trainer": facts(60, 0.8), "all": facts(10, 0.79)})
    assert worse[1]["met"] is False and "less accurate" in explain(worse)[0]


def test_without_the_folder_the_sample_messages_are_learned(tmp_path: Path) -> None:
    train = read_split("train", 0, tmp_path / "absent")
    test = read_split("test", 0, tmp_path / "absent")
    assert len(train) > 50 < len(test) and not {text for text, _ in train} & {text for text, _ in test}


@pytest.mark.long
@pytest.mark.slow
def test_a_small_run_compares_variants(tiny_model: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    for name in ("train", "test"):
        rows = "".join(f"{' '.join(letters)},{letters[0]}\n" for letters in ("abcd", "bacd", "acbd", "bdca"))
        (tmp_path / f"{name}.csv").write_text("text,label\n" + rows)
    base, _ = tiny_model("bert", max_position_embeddings=512)
    small = ["--examples", "4", "--held-out", "4", "--variants", "trainer,half"]
    main(["--data", str(tmp_path), "--base-model", str(base), *small, "--json"])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["steps"] for row in found] == [3, 1], "batches of 8 and 16"
    assert all(row["cpu_s"] > 0 and row["peak_rss_mib"] > 50 and row["products_s"] >= 0 for row in found)
    assert [row["bar"] for row in found[1:]] == [">= 12 x"]
