"""The bench of the model page: ratios are of neighbouring rounds, and a small run opens every page and tab there is."""

from __future__ import annotations

import json
import sys
import threading

import pytest

from backend.ui.page import TABS
from bench import ui
from bench.performance import SMALL_UI


def test_open_pages_are_compared_with_none_in_the_round_before() -> None:
    readings = [([0.010] * 20, 0.2), ([0.020] * 20, 0.4), ([0.010] * 20, 0.2)]
    slower = [([seconds[0] * 1.5] * 20, cpu + 0.02) for seconds, cpu in readings]
    alone, beside = ui.compare_rows("idle", readings, slower)
    assert (alone["beside"], beside["beside"]) == ("0 open pages", "10 open pages")
    assert (beside["p99_ratio"], beside["met"]) == (1.5, False)
    assert round(beside["cpu_ms"] - alone["cpu_ms"], 6) == 1.0


def test_rounds_without_and_with_alternate() -> None:
    done: list[str] = []

    def poll(stop: threading.Event) -> None:
        done.append("page")
        stop.wait()

    def measure() -> ui.Reading:
        done.append("predict")
        return [0.01], 0.01

    ui.compare(2, (), [poll], measure)
    assert [name for name in done if name == "page"] == ["page"] * 2
    assert done[0] == "predict" and sorted(done[1:3]) == ["page", "predict"] and done[3] == "predict"


@pytest.mark.long
@pytest.mark.slow
def test_a_small_run_measures_every_page(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["bench.ui", *SMALL_UI, "--json"])
    ui.main()
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    slugs = {tab.slug for tab in TABS}
    opened = [row for row in rows if row["bench"] == "time to first byte"]
    assert {row["page"] for row in opened} == {"projects", "operations", *slugs}
    assert len(opened) == 2 + 2 * len(slugs) and all(row["n"] == 2 and row["kB"] > 2 for row in opened)
    polled = [row for row in rows if row["bench"] == "a poll without news"]
    names = {f"poll of {name}" for name in ("projects", *slugs)}
    assert {row["page"] for row in polled} == names and not any(row["with_news"] for row in polled)
    predicted = [row for row in rows if row["bench"].startswith("/predict")]
    assert [row["beside"].split()[0] for row in predicted] == ["0", "10", "0", "10"]
    assert all(row["n"] > 0 and row["cpu_ms"] > 0 for row in predicted)
    assert [row["modules"] > 10 for row in rows if row["bench"] == "memory"] == [True]
