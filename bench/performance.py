"""Runs every bench of speed, writes the page of this kind of machine, and the bars of all kinds.

    python -m bench.performance [--only hot_swap,webhook] [--smoke]
    python -m bench.performance --page

One bench after the other, each in a process of its own. Results are kept in artifacts/performance.jsonl, the newest of
each bench counts: one of them can be run again alone (`--only`), and the pages written anew without running any
(`--page`). What stands on a page of benches that were not run here is kept there, and named. The kind is the number
format that the CPU multiplies fastest, a folder each in docs/performance; docs/performance.md sets the bars of all such
pages side by side. `--smoke` runs all of them for a moment, and writes into artifacts only. Ends with status 1 when a
bench failed; a bar that was missed is no failure.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path
from typing import Any

from bench.support.report import KINDS, describe_commit, describe_machine, kind_of, read_sections, read_table, table_of
from tests.support.rig import ROOT

Record = Mapping[str, Any]
Row = Mapping[str, Any]

HIDDEN = ("bench", "measured")
"""Not in a section's table: the first is its heading, the second is in a column of its own name already."""

BARS, TIME, NOT_RUN = "Bars", "Where the time goes", "Not run yet."

LONG = 40
"""Rows beyond which a table is folded."""

PAGES = "performance"
"""Folder beside the page of bars: a folder for each kind of machine, with its page, its notes.md and its pictures."""


def write_bars(path: Path) -> None:
    """Write the page that sets the bars of all kinds of machines side by side, from their pages."""
    names = {kind: name for kind, _, name in KINDS}
    pages = {kind: path.parent / PAGES / kind / "performance.md" for kind in names}
    texts = {kind: page.read_text(encoding="utf-8") for kind, page in pages.items() if page.is_file()}
    linked = {kind: f"[{names[kind]}]({PAGES}/{kind}/performance.md)" for kind in texts}
    machines: dict[str, dict[str, str]] = {}
    bars: dict[tuple[str, ...], dict[str, str]] = {}
    met = []
    for kind, text in texts.items():
        rows = read_table(text, "machine")
        for row in rows:
            machines.setdefault(row["machine"], {"machine": row["machine"]})[linked[kind]] = row[""]
        rows = read_table(text, "bench")
        met.append(f"{linked[kind]} {sum(row['met'] == 'yes' for row in rows)} of {len(rows)}")
        for row in rows:
            key = row["bench"], row["what"], row["bar"]
            value = row["measured"] if row["met"] == "yes" else f"**{row['measured']}**"
            bars.setdefault(key, dict(zip(("bench", "what", "bar"), key, strict=True)))[linked[kind]] = value
    columns = dict.fromkeys(["bench", "what", "bar", *linked.values()], "")
    parts = [
        "# Performance",
        "Written by `make bench` from the pages of machines, one a kind: the number format that its CPU multiplies "
        "fastest. Each of them says how it was measured, and why a bar is missed.",
        table_of([dict.fromkeys(["machine", *linked.values()], "") | row for row in machines.values()]),
        "## Bars",
        f"Met: {', '.join(met)}. **Bold** is missed; nothing was not measured there.",
        table_of([columns | row for row in bars.values()]),
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def write_page(path: Path, records: Sequence[Record]) -> None:
    """Write the page of one kind of machine: its records (one without rows and problem has not been run: what stands
    on the page of it, and of benches that are none of these, is kept), the pictures and the notes.md beside it."""
    old = path.read_text(encoding="utf-8") if path.is_file() else ""
    kept = {run: text for run, text in read_sections(old).items() if text and NOT_RUN not in text}
    machine = {row["machine"]: row[""] for row in read_table(old, "machine")}
    found = [
        {**record, "kept": kept[record["run"]], "machine": machine, "at": ""}
        if "rows" not in record and record["run"] in kept
        else record
        for record in records
    ]
    known = {record["run"] for record in records} | {BARS, TIME}
    found += [
        {"run": run, "kept": text, "machine": machine, "at": ""} for run, text in kept.items() if run not in known
    ]
    bars = [row for row in read_table(old, "bench") if kept.get(row["bench"])]
    pictures = [Path(file.name) for file in sorted(path.parent.glob("*.*")) if file.suffix in (".png", ".svg")]
    file = path.parent / "notes.md"
    notes = file.read_text(encoding="utf-8") if file.is_file() else ""
    path.write_text(page_of(found, pictures, notes, bars), encoding="utf-8")


def page_of(records: Sequence[Record], pictures: Sequence[Path] = (), notes: str = "", bars: Sequence[Row] = ()) -> str:
    """The page's text; `bars`: those of sections that are kept from an earlier one."""
    machine: Mapping[str, str] = next((record["machine"] for record in reversed(records) if record.get("machine")), {})
    name = {kind: name for kind, _, name in KINDS}[kind_of(machine)]
    parts = [
        f"# Performance: {name}",
        "Written by `make bench`, or one part anew by `python -m bench.performance --only NAME`. Each "
        "section's own command prints its table. "
        "CPU times are process times; wall times depend on what else the machine does.",
        *_machine(records),
        *_bars(records, bars),
    ]
    for record in records:
        own = [picture for picture in pictures if picture.stem.split("-")[0] == record["run"]]
        parts += _section(record, own)
    rest = [picture for picture in pictures if picture.stem.split("-")[0] not in {x["run"] for x in records}]
    if rest or notes:
        parts += [f"## {TIME}", *([notes.strip()] if notes else []), *map(_image, rest)]
    return "\n\n".join(parts) + "\n"


def _machine(records: Sequence[Record]) -> list[str]:
    machines = [record["machine"] for record in records if record.get("machine")]
    if not machines:
        return ["Nothing has been measured yet."]
    last = max((record for record in records if record.get("machine")), key=lambda record: str(record["at"]))["machine"]
    others = [record["run"] for record in records if record.get("machine") and record["machine"] != last]
    lines = [table_of([{"machine": name, "": value} for name, value in last.items()])]
    return lines + ([f"Measured on another machine or with other libraries: {', '.join(others)}."] if others else [])


def _bars(records: Sequence[Record], kept: Sequence[Row]) -> list[str]:
    rows: list[Row] = []
    for record in records:
        for row in (row for row in record.get("rows", ()) if row.get("bar")):
            own = {"bench": record["run"], "what": what_of(row), "measured": row.get("measured", "")}
            rows.append(own | _verdict(row))
        rows += [row for row in kept if row["bench"] == record["run"] and record.get("kept")]
    failed = [f"`{record['run']}`: {record['problem']}" for record in records if record.get("problem")]
    missing = [f"`{record['run']}`" for record in records if "rows" not in record and not record.get("kept")]
    earlier = [f"`{record['run']}`" for record in records if record.get("kept")]
    parts = [f"## {BARS}"] if rows or failed or missing else []
    if rows:
        met = sum(row["met"] == "yes" for row in rows)
        parts += [f"{met} of {len(rows)} are met.", table_of(rows)]
    if failed:
        parts.append("Benches that failed:\n\n" + "\n".join(f"- {line}" for line in failed))
    if missing:
        parts.append(f"Not run yet: {', '.join(missing)}.")
    if earlier:
        parts.append(f"From an earlier run, as it stood here: {', '.join(earlier)}.")
    return parts


def _verdict(row: Row) -> dict[str, str]:
    return {"bar": str(row["bar"]), "met": {True: "yes", False: "**no**"}.get(row.get("met"), "not known")}  # type: ignore[arg-type]


def what_of(row: Row) -> str:
    """A row's name: its leading columns that are text; numbers with their column's name where it has no such text."""
    names = [name for name in row if name not in HIDDEN]
    lead = names[: next((i for i, name in enumerate(names) if not isinstance(row[name], str)), len(names))]
    if lead:
        return ", ".join(row[name] for name in lead if name != "bar")
    whole = names[: next((i for i, name in enumerate(names) if not isinstance(row[name], int)), len(names))]
    return ", ".join(f"{name} {row[name]}" for name in whole[:3])


def _section(record: Record, pictures: Sequence[Path]) -> list[str]:
    if record.get("kept"):
        return [f"## {record['run']}", record["kept"]]
    headline, method = _about(record["module"])
    parts = [f"## {record['run']}", headline]
    if "command" in record:
        commit = f" at commit {record['commit']}" if record.get("commit") else ""
        parts.append(f"`{record['command']}`, {record['seconds']} s on {record['at'][:10]}{commit}")
    if method:
        parts.append(method)
    if record.get("problem"):
        parts.append(f"**Failed**: {record['problem']}")
    if "rows" not in record:
        parts.append(NOT_RUN)
    for title, rows in groupby(record.get("rows", ()), key=lambda row: row["bench"]):
        shown = [{name: value for name, value in row.items() if name not in HIDDEN} for row in rows]
        parts += _folded(title, shown) if len(shown) > LONG else [f"**{title}**", table_of(shown)]
    return parts + [_image(picture) for picture in pictures]


def _folded(title: str, rows: Sequence[Row]) -> list[str]:
    summary = f"<details><summary>{title} ({len(rows)} rows)</summary>"
    return [summary, table_of(rows), "</details>"]


def _about(module: str) -> tuple[str, str]:
    """The first line of a bench's own docstring, and what it says after its command."""
    path = ROOT / "bench" / f"{module.replace('.', '/')}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) if path.is_file() else None
    paragraphs = (text or "There is no such bench yet.").split("\n\n")
    method = [" ".join(part.split()) for part in paragraphs[1:] if not part.lstrip().startswith("python -m")]
    return " ".join(paragraphs[0].split()), "\n\n".join(method)


def _image(path: Path) -> str:
    return f"![{path.stem.replace('-', ' ')}]({path.as_posix()})"


ARTIFACTS = ROOT / "artifacts"
BENCH_SECONDS = 1800.0
"""Seconds after which a bench is stopped, and counts as failed."""

STOP_SECONDS = 90.0
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

SMALL_UI = (*("--projects", "2", "--labels", "150", "--opens", "2", "--polls", "5", "--rounds", "1", "--seconds", "1"),)

SMALL_LONG = (*("--characters", "20000", "--regions", "50", "--labels", "10", "--strings", "1000", "--seconds", "3"),)

SMALL_EXPORT = (*("--kinds", "single", "--texts", "24", "--labels", "48", "--steps", "2"),)

RUNS = (
    Run("peak", "peak", (), ("--rounds", "1", "--texts", "20", "--models", "minilm")),
    Run("peak-peers", "peak", ("--peers",), ("--rounds", "1", "--sizes", "1,20")),
    Run("serving", "serving", (), ("--rounds", "1", "--tasks", "1,20", "--requests", "5", "--clients", "2")),
    Run("serving-bert-base", "serving", ("--bert-base",), ("--rounds", "1", "--tasks", "1", "--requests", "3")),
    Run("serving-formats", "serving", ("--formats",), ("--rounds", "1", "--tasks", "1,20", "--requests", "5")),
    Run("setup_latency", "learn_latency", ("--under-load",), ("--seconds", "2", "--loads", "predicts")),
    Run("hot_swap", "hot_swap", (), ("--rounds", "1", "--clients", "2", "--swaps", "4", "--no-bert")),
    Run("finetune", "finetune", (), ("--examples", "16", "--epochs", "1", "--held-out", "20")),
    Run(
        "scale",
        "scale",
        ("--plot", "artifacts/scale.png"),
        SMALL_SCALE,
    ),
    Run("start", "start", (), SHORT_START),
    Run("webhook", "webhook", (), ("--events", "30", "--clients", "2")),
    Run("ui", "ui", (), SMALL_UI),
    Run("learn_latency", "learn_latency", (), ("--labels", "16", "--repeats", "3")),
    Run("serving-spans", "serving", ("--spans",), ("--rounds", "1", "--tasks", "20")),
    Run("learn_latency-spans", "learn_latency", ("--spans",), ("--labels", "16", "--repeats", "3")),
    Run("long_text-spans", "scale", ("--spans",), SMALL_LONG),
    Run("export", "export", (), SMALL_EXPORT),
    Run("export-dataset", "export", ("--dataset",), ("--sizes", "200,400")),
)


def run_bench(run: Run, smoke: bool = False, limit: float = BENCH_SECONDS) -> dict[str, Any]:
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
        return process.communicate(timeout=STOP_SECONDS)
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
    records = newest(read_records(results))
    folder = ROOT / "docs" / PAGES / kind_of(describe_machine())
    page = ARTIFACTS / "performance-smoke.md" if args.smoke else folder / "performance.md"
    page.parent.mkdir(exist_ok=True)
    for picture in ARTIFACTS.glob("*.png") if not args.smoke else ():
        if picture.stem in {run.name for run in runs}:
            shutil.copy(picture, folder / picture.name)
    write_page(page, [records.get(run.name, {"run": run.name, "module": run.module}) for run in RUNS])
    if not args.smoke:
        write_bars(ROOT / "docs" / "performance.md")
    print(f"written: {page.relative_to(ROOT)}")
    if any(records[run.name]["problem"] for run in runs):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
