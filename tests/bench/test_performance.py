"""The page of speed: benches run as processes, their rows kept, and a page that hides no failure."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from bench import performance
from bench.performance import (
    RUNS,
    Run,
    last_words,
    newest,
    page_of,
    rows_of,
    run_bench,
    what_of,
    write_bars,
    write_page,
)
from bench.support.report import describe_machine, judge, kind_of, show

MACHINE = {"CPU": "some CPU", "cores": "2"}

MODULES = {run.name: run.module for run in RUNS}


def record(run: str, rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    facts = {"problem": "", "seconds": 12, "at": "2026-11-25T01:02:03+00:00", "commit": "abc of 2026-11-25"}
    return {
        "run": run,
        "module": MODULES.get(run, run),
        "command": f"python -m bench.{MODULES.get(run, run)}",
        "rows": rows,
        "machine": MACHINE,
        **facts,
        **more,
    }


def swaps(title: str = "swap: CPU ms") -> list[dict[str, Any]]:
    slow = {"encoder": "MiniLM", "version": "fine-tuned", "n": 7, "total_ms": 61.5, **judge(61.5, "<=", 50, "ms")}
    fast = {"encoder": "MiniLM", "version": "head only", "n": 7, "total_ms": 4.6, **judge(4.6, "<=", 50, "ms")}
    return [{"bench": title, **slow}, {"bench": title, **fast}]


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `bench` of its own, whose modules `run_bench` runs."""
    (tmp_path / "bench").mkdir()
    monkeypatch.setattr(performance, "ROOT", tmp_path)
    return tmp_path / "bench"


def test_rows_are_found_among_other_output(capsys: pytest.CaptureFixture[str]) -> None:
    show("a title", [{"load": "idle", "p99_ms": 3.0}, {"load": "all", "p99_ms": 9.0}], as_json=True)
    printed = capsys.readouterr().out
    rows = rows_of("Loading weights\n" + printed + '{"no": "bench"}\n{broken\n[1]\n')
    assert rows == [
        {"bench": "a title", "load": "idle", "p99_ms": 3.0},
        {"bench": "a title", "load": "all", "p99_ms": 9.0},
    ]


def test_a_bar_is_judged_from_its_side() -> None:
    assert judge(20, "<=", 20, "ms") == {"measured": 20, "bar": "<= 20 ms", "met": True}
    assert judge(0.59, ">=", 0.6) == {"measured": 0.59, "bar": ">= 0.6", "met": False}
    with pytest.raises(ValueError, match="neither"):
        judge(1, "<", 2)


def test_what_goes_wrong_is_said(scripts: Path) -> None:
    (scripts / "half.py").write_text('print(\'{"bench": "half", "x": 1}\')\nraise SystemExit(\'1 request failed\')')
    (scripts / "mute.py").write_text("")
    (scripts / "slow.py").write_text("import time\ntime.sleep(60)")
    half = run_bench(Run("half", "half"))
    assert (len(half["rows"]), half["problem"]) == (1, "1 request failed")
    assert run_bench(Run("mute", "mute"))["problem"] == "printed no rows"
    assert run_bench(Run("slow", "slow"), limit=0.5)["problem"].startswith("stopped after")
    assert "No module named bench.absent" in run_bench(Run("absent", "absent"))["problem"]


def test_last_words_name_no_path_of_this_machine() -> None:
    root = str(performance.ROOT)
    assert last_words(f"no {tempfile.gettempdir()}/x") == "no TMP/x" and last_words("") == ""
    assert last_words(f"Traceback\n  File x\nOSError: {root}/artifacts is full\n\n") == "OSError: ./artifacts is full"


def test_the_newest_record_of_a_bench_counts() -> None:
    found = newest([record("hot_swap", []), record("start", []), record("hot_swap", swaps())])
    assert len(found["hot_swap"]["rows"]) == 2 and set(found) == {"hot_swap", "start"}


def test_the_page_shows_machine_bars_tables_and_failures(tmp_path: Path) -> None:
    records = [
        record("hot_swap", swaps()),
        record("start", [], problem="it broke"),
        {"run": "peak", "module": MODULES["peak"]},
        record("learn_latency", [{"bench": "latency", "labels": 16, "n": 30, "p50_ms": 1.5}]),
    ]
    (tmp_path / "engine.png").write_bytes(b"")
    (tmp_path / "notes.md").write_text("Less time in softmax.\n")
    (tmp_path / "hot_swap-stages.svg").write_bytes(b"")
    write_page(tmp_path / "performance.md", records)
    page = (tmp_path / "performance.md").read_text()
    assert "| CPU | some CPU |" in page
    assert "1 of 2 are met." in page
    assert "| hot_swap | MiniLM, fine-tuned | 61.5 | <= 50 ms | **no** |" in page
    assert "| hot_swap | MiniLM, head only | 4.6 | <= 50 ms | yes |" in page
    assert "- `start`: it broke" in page and "**Failed**: it broke" in page
    assert "Not run yet: `peak`." in page
    assert "| MiniLM | fine-tuned | 7 | 61.5 | <= 50 ms | no |" in page, "a section's table has no column `measured`"
    assert "`python -m bench.hot_swap`, 12 s on 2026-11-25 at commit abc of 2026-11-25" in page
    section = page[page.index("## hot_swap") : page.index("## start")]
    assert "![hot_swap stages](hot_swap-stages.svg)" in section
    assert page.rstrip().endswith("Less time in softmax.\n\n![engine](engine.png)")
    assert str(tmp_path) not in page


def test_what_was_measured_elsewhere_stays_on_the_page(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    unknown = record("scale_out", [{"bench": "hosts", "what": "two", "measured": 3, "bar": ">= 2", "met": True}])
    write_page(page, [record("hot_swap", swaps()), unknown | {"module": MODULES["peak"]}])
    before = page.read_text()
    unrun = [{"run": name, "module": MODULES[name]} for name in ("hot_swap", "peak")]
    write_page(page, [*unrun, record("learn_latency", [{"bench": "latency", "labels": 16, "p50_ms": 1.5}])])
    after = page.read_text()
    for line in (line for line in before.splitlines() if line.startswith("| ") and "hot_swap" in line):
        assert line in after
    assert "| scale_out | two | 3 | >= 2 | yes |" in after and "2 of 3 are met." in after
    assert "| MiniLM | fine-tuned | 7 | 61.5 | <= 50 ms | no |" in after and "## learn_latency" in after
    assert "Not run yet: `peak`." in after and "as it stood here: `hot_swap`, `scale_out`." in after
    assert "| CPU | some CPU |" in after
    write_page(page, unrun)
    assert [line for line in after.splitlines() if line not in page.read_text().splitlines()] == [
        "From an earlier run, as it stood here: `hot_swap`, `scale_out`."
    ]
    write_page(page, [record("hot_swap", swaps()[1:]), *unrun[1:]])
    assert "61.5" not in page.read_text() and "as it stood here: `learn_latency`, `scale_out`." in page.read_text()


def test_the_bars_of_all_kinds_of_machines_stand_side_by_side(tmp_path: Path) -> None:
    amx = {"CPU": "a Xeon", "instruction sets": "avx2 avx512f avx512_bf16 amx_bf16"}
    old = {"CPU": "an old one", "instruction sets": "avx2"}
    both = {"amx": [record("hot_swap", swaps(), machine=amx)], "avx2": [record("hot_swap", swaps()[1:], machine=old)]}
    for kind, records in both.items():
        assert kind_of(records[0]["machine"]) == kind
        (tmp_path / "performance" / kind).mkdir(parents=True)
        write_page(tmp_path / "performance" / kind / "performance.md", records)
    write_bars(tmp_path / "performance.md")
    page = (tmp_path / "performance.md").read_text()
    links = "[AMX](performance/amx/performance.md)", "[AVX2](performance/avx2/performance.md)"
    assert f"Met: {links[0]} 1 of 2, {links[1]} 1 of 1." in page
    assert f"| bench | what | bar | {links[0]} | {links[1]} |" in page and "| CPU | a Xeon | an old one |" in page
    assert "| hot_swap | MiniLM, fine-tuned | <= 50 ms | **61.5** |  |" in page, "missed there, not measured here"
    assert "| hot_swap | MiniLM, head only | <= 50 ms | 4.6 | 4.6 |" in page
    assert kind_of({}) == "other" and kind_of({"instruction sets": "avx2 avx512f avx512_vnni"}) == "avx512-vnni"
    zen = {"instruction sets": "avx2 avx512f avx512_vnni avx512_bf16", "bfloat16": "faster than float32"}
    assert kind_of(zen) == "avx512-bf16" and kind_of({**zen, "bfloat16": "slower than float32"}) == "avx512-vnni"


def test_records_of_another_machine_are_named() -> None:
    old = record("hot_swap", swaps(), machine={"CPU": "old"}, at="2025-01-01T00:00:00+00:00")
    page = page_of([old, record("webhook", [{"bench": "w", "x": 1}])])
    assert "| CPU | some CPU |" in page and "other libraries: hot_swap." in page


def test_a_row_is_named_by_its_leading_text() -> None:
    assert what_of({"bench": "b", "load": "idle", "endpoint": "/setup", "n": 3, "cores": "web"}) == "idle, /setup"
    assert what_of({"bench": "b", "classes": 8, "members": 2, "seconds": 0.5}) == "classes 8, members 2"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_machine_is_described_without_its_name() -> None:
    import platform

    facts = describe_machine()
    assert set(facts) == {"CPU", "cores", "instruction sets", "bfloat16", "GPU", "memory", "system", "libraries"}
    assert "torch" in facts["libraries"] and facts["cores"].isdigit()
    assert f" {platform.node()} " not in f" {' '.join(facts.values())} "
