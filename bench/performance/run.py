"""Runs every bench of speed and writes docs/performance.md from what they measured.

    python -m bench.performance.run [--only swap,webhook] [--smoke]
    python -m bench.performance.run --page

One bench after the other, each in a process of its own. Results are kept in artifacts/performance.jsonl, the newest of
each bench counts: one of them can be run again alone (`--only`), and the page written anew without running any
(`--page`). `--smoke` runs all of them for a moment, and writes into artifacts only. Ends with status 1 when a bench
failed; a bar that was missed is no failure.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bench.performance.page import write_page
from bench.support.report import describe_commit, describe_machine
from tests.support.rig import ROOT

ARTIFACTS = ROOT / "artifacts"
LIMIT = 1800.0
"""Seconds after which a bench is stopped, and counts as failed."""

GRACE = 90.0
"""Seconds that it has to stop what it started."""


@dataclass(frozen=True)
class Run:
    """One bench with its arguments; `name` is what `--only` and the results call it."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    smoke: tuple[str, ...] = ()

    def command(self, smoke: bool) -> list[str]:
        """Without the interpreter."""
        return ["-m", f"bench.{self.module}", *self.arguments, *(self.smoke if smoke else ())]


SMALL_SCALE = (
    *("--examples", "10,100", "--tasks", "100,1000", "--projects", "1,3", "--classes", "2,8"),
    *("--repeats", "3", "--refit-seconds", "3"),
)

SHORT_START = (
    *("--repeats", "1", "--uncounted", "0", "--projects", "1", "--labels", "16", "--idle", "1", "--clients", "1"),
)

RUNS = (
    Run("peak", "speed.peak", (), ("--rounds", "1", "--texts", "20", "--models", "minilm")),
    Run("serving", "speed.serving", (), ("--rounds", "1", "--tasks", "1,20", "--requests", "5", "--clients", "2")),
    Run("serving-bert-base", "speed.serving", ("--bert-base",), ("--rounds", "1", "--tasks", "1", "--requests", "3")),
    Run("setup_latency", "latency.setup_latency", (), ("--seconds", "2", "--loads", "predicts")),
    Run("swap", "latency.swap", (), ("--rounds", "1", "--swaps", "4", "--clients", "2", "--no-bert")),
    Run("hot_swap", "latency.hot_swap", (), ("--clients", "2", "--swaps", "4")),
    Run("finetune", "speed.finetune", (), ("--examples", "16", "--epochs", "1", "--held-out", "20")),
    Run(
        "scale",
        "speed.scale",
        ("--plot", "docs/performance/scale.png"),
        (*SMALL_SCALE, "--plot", "artifacts/scale.png"),
    ),
    Run("start", "speed.start", (), SHORT_START),
    Run("webhook", "latency.webhook", (), ("--events", "30", "--clients", "2")),
    Run("learn_latency", "latency.learn_latency", (), ("--labels", "16", "--repeats", "3")),
)


def run_bench(run: Run, smoke: bool = False, limit: float = LIMIT) -> dict[str, Any]:
    """One record: the rows that the bench printed, and what went wrong ("" for nothing)."""
    command, began = run.command(smoke), time.monotonic()
    environment = {**os.environ, "TQDM_DISABLE": "1"}
    process = subprocess.Popen(
        [sys.executable, *command, "--json"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=limit)
        problem = last_words(errors) or f"ended with status {process.returncode}" if process.returncode else ""
    except subprocess.TimeoutExpired:
        output, errors = _stop(process)
        problem = f"stopped after {limit:.0f} s"
    rows = rows_of(output)
    if not rows and not problem:
        problem = "printed no rows"
    return {
        "run": run.name,
        "module": run.module,
        "command": " ".join(["python", *command]),
        "rows": rows,
        "problem": problem,
        "seconds": round(time.monotonic() - began),
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": describe_commit(),
        "machine": describe_machine(),
    }


def _stop(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Ctrl-C first: a bench then stops the product that it has started."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        return process.communicate(timeout=GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()


def rows_of(output: str) -> list[dict[str, Any]]:
    """The JSON rows of bench/support/report.py among whatever else was printed."""
    rows = []
    for line in output.splitlines():
        if line.startswith("{"):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and "bench" in row:
                rows.append(row)
    return rows


def last_words(errors: str) -> str:
    """The last line of what a failed bench said, without this machine's paths."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    words = lines[-1].replace(str(ROOT), ".").replace(str(Path.home()), "~") if lines else ""
    return words.replace(tempfile.gettempdir(), "TMP")[:300]


def newest(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The last record of each run."""
    return {record["run"]: record for record in records}


def read_records(path: Path) -> list[dict[str, Any]]:
    """All records so far."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def chosen(only: str) -> list[Run]:
    """The runs named, all for "". Raises SystemExit for a name that is none."""
    names = [name for name in only.split(",") if name]
    unknown = sorted(set(names) - {run.name for run in RUNS})
    if unknown:
        raise SystemExit(f"no bench {', '.join(unknown)}: choose from {', '.join(run.name for run in RUNS)}")
    return [run for run in RUNS if not names or run.name in names]


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=",".join(run.name for run in RUNS))
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--page", action="store_true", help="run nothing, write the page")
    args = parser.parse_args(arguments)
    results = ARTIFACTS / f"performance{'-smoke' if args.smoke else ''}.jsonl"
    results.parent.mkdir(exist_ok=True)
    runs = [] if args.page else chosen(args.only)
    for run in runs:
        print(f"{run.name}: {' '.join(run.command(args.smoke))}", flush=True)
        record = run_bench(run, args.smoke)
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        print(f"  {len(record['rows'])} rows, {record['seconds']} s {record['problem']}", flush=True)
    page = ARTIFACTS / "performance-smoke.md" if args.smoke else ROOT / "docs" / "performance.md"
    records = newest(read_records(results))
    write_page(page, [records.get(run.name, {"run": run.name, "module": run.module}) for run in RUNS])
    print(f"written: {page.relative_to(ROOT)}")
    if any(records[run.name]["problem"] for run in runs):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
