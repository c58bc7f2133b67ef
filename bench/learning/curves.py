"""Learning curves of the real learner and policy, beside the peers' recipes on the same rows, against the goals.

    python -m bench.learning.curves [--data DIR|FILE.csv] [--sets agnews,sst2] [--labels 0,64] [--seeds 11,12,13]
                             [--peers tfidf,lr] [--results R.jsonl] [--out DIR] [--no-finetune] [--json]
    python -m bench.learning.curves --report R.jsonl [--out DIR]

DIR holds one folder per set with train.csv and test.csv. Every row is appended to --results as soon as it is measured;
rows that are there already are not measured again, so the bench can be stopped, continued and run in pieces.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from backend.cli.simulate import Speaker
from backend.settings.settings import load_settings
from backend.simulate.curves import curve_name, draw
from backend.simulate.trainer import PolicyTrainer, Workplace
from bench.learning.goals import shortfalls
from bench.support.report import show
from model.simulation.baselines import PEERS, Rival
from model.simulation.dataset import Dataset, read_dataset
from model.simulation.replay import Replay, ReplayPlan, reachable
from tests.support.rig import ROOT

COUNTS = "0,8,16,32,64,128,256,512,1000"
SEEDS = "11,12,13"
TEST_ROWS = 1000
MEASURES = ("accuracy", "macro_f1", "ece", "refit_seconds", "finetune_seconds", "peak_mib")

HEADING = """# Learning curves

Written by `python -m bench.learning.curves --out DIR` (`make curves`): medians over the seeds, on the first 1,000 test
rows. Of sets, accuracy is exact match and ECE that of the whole set. `goals`: what falls short of the goals of
accuracy and macro-F1 (where there are some) or of the calibration goal (.06 from 64 labels on, .08 below). Seconds are
wall time on whatever else the machine did; MiB is the process's high-water mark so far.
"""

Row = dict[str, Any]
Key = tuple[str, str, int, int]


def find_sets(data: Path, names: Sequence[str]) -> dict[str, Dataset]:
    """The sets in a folder (or the one file), test rows capped at TEST_ROWS."""
    if data.is_file():
        found = {data.stem: read_dataset(data)}
    else:
        folders = sorted(path.parent for path in data.glob("*/train.csv"))
        wanted = [folder for folder in folders if not names or folder.name in names]
        found = {folder.name: read_dataset(folder / "train.csv", folder / "test.csv") for folder in wanted}
    return {name: replace(dataset, test=dataset.test[:TEST_ROWS]) for name, dataset in found.items()}


def key_of(row: Row) -> Key:
    """What a row measures."""
    return row["set"], curve_name(row), row["n"], row["seed"]


def measure(
    name: str, data: Dataset, counts: Sequence[int], seed: int, args: Any, place: Workplace, done: set[Key]
) -> Iterator[Row]:
    """The rows of one set and seed that are not done: ours first, then the peers'."""
    speaker = Speaker()
    speaker.about(f"{name}, seed {seed}")
    plan = ReplayPlan(reachable(data, counts), seed=seed)
    trainer = PolicyTrainer(place, speaker.tell) if args.finetune else None
    if any((name, "understudy, random", count, seed) not in done for count in plan.counts):
        yield from Replay(data, plan, place.base, trainer, speaker.tell).rows()
    for peer in filter(None, args.peers.split(",")):
        rival = Rival(data, PEERS[peer], place.base, place.base_model, place.threads, speaker.tell)
        for count in plan.counts:
            if count and (name, rival.peer.method, count, seed) not in done:
                yield rival.row(count, seed)


def peak_mib() -> int:
    """Largest memory so far of this process or of one of its trainings."""
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) // unit


def read_results(path: Path | None) -> list[Row]:
    """Rows measured before."""
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def run(args: Any) -> list[Row]:
    """All rows, those measured before included."""
    rows = read_results(args.results)
    done = {key_of(row) for row in rows}
    counts, seeds = ([int(part) for part in text.split(",")] for text in (args.labels, args.seeds))
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as scratch:
        features = args.cache or Path(scratch) / "features"
        place = Workplace(load_settings(), Path(scratch), features, args.threads)
        for name, data in find_sets(args.data, args.sets.split(",") if args.sets else ()).items():
            for seed in seeds:
                for row in measure(name, data, counts, seed, args, place, done):
                    complete = {"set": name, **row, "peak_mib": peak_mib()}
                    if key_of(complete) in done:
                        continue  # measured before; it had to be learned again to go on from it
                    rows.append(complete)
                    done.add(key_of(complete))
                    keep(complete, args)
        place.close()
    return rows


def keep(row: Row, args: Any) -> None:
    """Append a row to the results, and print it with --json."""
    line = json.dumps(row)
    if args.results:
        args.results.parent.mkdir(parents=True, exist_ok=True)
        with args.results.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    if args.json:
        print(line, flush=True)


def summarise(rows: Sequence[Row]) -> list[Row]:
    """Medians over the seeds, one row per set, method and number of labels, with what falls short of the goals."""
    cells: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        cells.setdefault((row["set"], curve_name(row), row["n"]), []).append(row)
    table = []
    for (name, method, count), cell in sorted(cells.items(), key=lambda item: (item[0][0], item[0][2], item[0][1])):
        middle = {key: round(statistics.median(float(row.get(key) or 0) for row in cell), 3) for key in MEASURES}
        missed = shortfalls(name, count, middle["accuracy"], middle["macro_f1"], middle["ece"])
        verdict = (", ".join(missed) or "reached") if method.startswith("understudy") else ""
        table.append({"set": name, "n": count, "method": method, **middle, "seeds": len(cell), "goals": verdict})
    return table


def write_report(rows: Sequence[Row], table: Sequence[Row], out: Path) -> None:
    """`learning.md` with the table and one picture per set."""
    out.mkdir(parents=True, exist_ok=True)
    lines = [HEADING, "| " + " | ".join(table[0]) + " |", "|" + " --- |" * len(table[0])]
    lines += ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in table]
    (out / "learning.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in dict.fromkeys(row["set"] for row in rows):
        draw([row for row in rows if row["set"] == name], out / f"learning-{name}.png", name)


def parse(arguments: Sequence[str] | None) -> Any:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--sets", default="")
    parser.add_argument("--labels", default=COUNTS)
    parser.add_argument("--seeds", default=SEEDS)
    parser.add_argument("--peers", default="tfidf,lr", help=f"of {', '.join(PEERS)}; '' for none")
    parser.add_argument("--finetune", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--report", type=Path, help="measure nothing: render these results")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line entry."""
    args = parse(arguments)
    rows = read_results(args.report) if args.report else run(args)
    if not rows:
        raise SystemExit(f"nothing measured: no set found in {args.data}")
    table = summarise(rows)
    if not args.json:
        show("learning curves, medians over the seeds", table)
    if args.out:
        write_report(rows, table, args.out)


if __name__ == "__main__":
    main()
