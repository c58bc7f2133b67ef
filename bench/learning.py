"""Learning curves of the real learner and policy, beside the peers' recipes on the same rows, against the goals.

    python -m bench.learning [--data DIR|FILE.csv] [--sets agnews,sst2] [--labels 0,64] [--seeds 11,12,13]
                             [--peers tfidf,lr] [--results R.jsonl] [--out DIR] [--no-finetune] [--json]
    python -m bench.learning --spans [--data DIR|FILE.jsonl] [--sets wikigold,snips] [--peers memory,crf,humansignal]
    python -m bench.learning --spans --no-prior [--labels 64,256,1000] [--peers ""]
    python -m bench.learning --spans --nested [--sets invented_nested] [--peers longest,each]
    python -m bench.learning --spans --patterns [--dev] [--sets bc5cdr] [--seeds 11,12]
    python -m bench.learning [--spans] --teacher .6,.75,.9 [--sets agnews] [--labels 0,16,64,256]
    python -m bench.learning --changes [--data DIR] [--base-model DIR] [--no-queue] [--no-finetune] [--results R.jsonl]
    python -m bench.learning --formats [--spans] [--data DIR] [--sets agnews,sst2] [--no-finetune] [--results R.jsonl]
    python -m bench.learning --report R.jsonl [--out DIR]
    python -m bench.learning --picture | --fetch-languages DIR [--sets de,emoji-ar]

DIR holds one folder per set with train.csv and test.csv (of spans: train.jsonl and test.jsonl). `--spans` takes all
other options, too; `--nested`: on sets whose spans overlap, which it makes; `--no-prior`: on an encoder that no prior
was trained over (the same numbers under another digest); `--patterns`: with a list of strings, right or wrong, and
without (`--dev`: measured on training texts); `--teacher`: without a teacher and with simulated ones that get so much
right, without fine-tunes (of spans they quote); `--changes`: with every change to the learning and with each taken
back, with the queue that hunts and without, with fine-tunes and without; `--formats`: in int8 beside float32, in the
same orders and on all test rows (fine-tunes in a run of their own, without `--no-finetune`); `--base-model`: over this
encoder, in rows of their own. Every row is appended to --results as soon as it is measured; rows that are there already
are not measured again, so the bench can be stopped, continued and run in pieces. Ours is what `understudy simulate`
does.
`--picture` measures nothing: it draws the README's picture from the table in docs/learning/learning.md.
`--fetch-languages`: nor does this, it writes sets of several languages for --data.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from backend.cli.simulate.progress import Progress
from backend.settings.settings import load_settings
from backend.simulate.curves import curve_name, draw, is_of_spans
from backend.simulate.trainer import PolicyTrainer, Workplace
from bench.support import nested_sets, spans
from bench.support.fixtures import write_stranger
from bench.support.report import (
    LIST_OF_COUNTS,
    LIST_OF_SHARES,
    METHODS,
    TABLE,
    command,
    expect_known,
    numbers,
    picture_of,
    read_curve,
    show,
)
from bench.support.texts import expect_sets, write_language_sets
from model.simulation.baselines import PEERS, Rival
from model.simulation.dataset import Dataset, read_dataset
from model.simulation.replay import Replay, ReplayPlan, reachable
from model.simulation.span_dataset import SpanDataset
from model.simulation.span_replay import TUNED, SpanReplay
from tests.support import changes, number_formats, pattern_lists, quote_teachers, teachers
from tests.support.rig import ROOT

GOALS: dict[str, dict[int, tuple[float, float]]] = {
    "banking77": {0: (0.640, 0.625), 16: (0.640, 0.620), 64: (0.660, 0.620), 256: (0.750, 0.720), 1000: (0.850, 0.840)},
    "agnews": {0: (0.780, 0.770), 16: (0.760, 0.750), 64: (0.820, 0.810), 256: (0.850, 0.845), 1000: (0.860, 0.855)},
    "sst2": {0: (0.690, 0.685), 16: (0.665, 0.655), 64: (0.790, 0.785), 256: (0.825, 0.820), 1000: (0.800, 0.795)},
    "smsspam": {0: (0.705, 0.600), 16: (0.945, 0.870), 64: (0.975, 0.950), 256: (0.980, 0.960), 1000: (0.985, 0.970)},
}
"""What the learner shall reach on the development sets: (accuracy, macro-F1) by set and number of labels, from a
measured table of methods; no goal where none was measured. The calibration goal holds everywhere."""


def ece_goal(count: int) -> float:
    """Largest calibration error allowed with so many labels."""
    return 0.06 if count >= 64 else 0.08


def shortfalls(name: str, count: int, accuracy: float, macro_f1: float, ece: float) -> list[str]:
    """What falls short of the goals, and by how much; empty when nothing."""
    goal = GOALS.get(name, {}).get(count)
    missed = []
    if goal is not None:
        pairs = (("accuracy", accuracy, goal[0]), ("macro-F1", macro_f1, goal[1]))
        missed = [f"{what} -{wanted - found:.3f}" for what, found, wanted in pairs if found < wanted - 5e-4]
    if ece > ece_goal(count) + 5e-4:
        missed.append(f"ECE +{ece - ece_goal(count):.3f}")
    return missed


COUNTS = "0,8,16,32,64,128,256,512,1000"
SEEDS = "11,12,13"
TEST_ROWS = 1000
MEASURES = ("accuracy", "macro_f1", "ece", "refit_seconds", "finetune_seconds", "peak_mib")

HEADING = """# Learning curves

Written by `python -m bench.learning --out DIR` (`make curves`): medians over the seeds, on the first 1,000 test
rows. Of sets, accuracy is exact match and ECE that of the whole set. `goals`: what falls short of the goals of
accuracy and macro-F1 (where there are some) or of the calibration goal (.06 from 64 labels on, .08 below). Seconds are
wall time on whatever else the machine did; MiB is the process's high-water mark so far.
"""

Row = dict[str, Any]
Key = tuple[str, str, int, int]


def find_sets(data: Path, names: Sequence[str], tests: int | None = TEST_ROWS) -> dict[str, Dataset]:
    """The sets in a folder (or the one file), with the first so many test rows; None: all."""
    if data.is_file():
        found = {data.stem: read_dataset(data)}
    else:
        folders = sorted(path.parent for path in data.glob("*/train.csv"))
        wanted = [folder for folder in folders if not names or folder.name in names]
        found = {folder.name: read_dataset(folder / "train.csv", folder / "test.csv") for folder in wanted}
    return {name: dataset.capped(tests) for name, dataset in found.items()}


def key_of(row: Row) -> Key:
    """What a row measures."""
    return row["set"], curve_name(row), row["n"], row["seed"]


def measure(
    name: str, data: Dataset, counts: Sequence[int], seed: int, args: Any, place: Workplace, done: set[Key]
) -> Iterator[Row]:
    """The rows of one set and seed that are not done: ours first, then the peers'."""
    progress = Progress()
    progress.about(f"{name}, seed {seed}")
    plan = ReplayPlan(reachable(data.labelled, counts), seed=seed)
    trainer = PolicyTrainer(place, progress.tell) if args.finetune else None
    if any((name, "understudy, random", count, seed) not in done for count in plan.counts):
        yield from Replay(data, plan, place.base, trainer, progress.tell).rows()
    for peer in filter(None, args.peers.split(",")):
        rival = Rival(data, PEERS[peer], place.base, place.base_model, place.threads, progress.tell)
        for count in plan.counts:
            if count and (name, rival.peer.method, count, seed) not in done:
                yield rival.row(count, seed)


def measure_spans(
    name: str, data: SpanDataset, counts: Sequence[int], seed: int, args: Any, place: Workplace, done: set[Key]
) -> Iterator[Row]:
    """The same of a set of texts with spans."""
    progress, tools = Progress(), place.span_tools()
    progress.about(f"{name}, seed {seed}")
    plan = ReplayPlan(reachable(data.labelled, counts), seed=seed)
    if any((name, "understudy, random", count, seed) not in done for count in plan.counts):
        yield from SpanReplay(data, plan, tools, progress.tell).rows()
    tuned = replace(plan, counts=tuple(count for count in plan.counts if count in spans.TUNED_COUNTS))
    wanted = args.finetune and any((name, f"understudy, {TUNED}", count, seed) not in done for count in tuned.counts)
    if wanted:
        trainer = PolicyTrainer(place, progress.tell)
        for row in SpanReplay(data, tuned, tools, progress.tell, trainer, ungated=True).rows():
            yield {**row, "method": f"understudy, {row['method']}"}
    for peer in filter(None, args.peers.split(",")):
        method = spans.SPAN_PEERS[peer].method
        for count in plan.counts:
            if count and (name, method, count, seed) not in done:
                progress.tell(f"{method}, {count} texts")
                yield spans.peer_row(spans.SPAN_PEERS[peer], data, tools.reader, place.base_model, count, seed)


def measure_nested(
    name: str, data: SpanDataset, counts: Sequence[int], seed: int, args: Any, place: Workplace, done: set[Key]
) -> Iterator[Row]:
    """The same of a set whose spans overlap."""
    reader = place.span_tools().reader
    for count in reachable(data.labelled, counts):
        for method in ("understudy", *filter(None, args.peers.split(","))):
            if count and (name, method, count, seed) not in done:
                yield nested_sets.nested_row(method, data, reader, count, seed)


def peak_mib() -> int:
    """Largest memory so far of this process or of one of its trainings."""
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) // unit


def read_results(path: Path | None) -> list[Row]:
    """Rows measured before."""
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def what_to_measure(args: Any) -> tuple[Any, Callable[..., Iterator[Row]]]:
    """The sets by name, and what measures one of them."""
    names = args.sets.split(",") if args.sets else ()
    if args.nested:
        return nested_sets.nested_sets(spans.find_span_sets(args.data, ()), names), measure_nested
    if args.patterns:
        return spans.find_span_sets(args.data, names), pattern_lists.measure_patterns
    if args.formats:
        replays = number_formats.FormatReplays({})
        if args.spans:
            return spans.find_span_sets(args.data, names), replays.measure_spans
        return find_sets(args.data, names, None), replays.measure
    if args.spans:
        of_spans = quote_teachers.measure_quotes if args.teacher else measure_spans
        return spans.find_span_sets(args.data, names), of_spans
    by = changes.measure_changes if args.changes else teachers.measure_teachers if args.teacher else measure
    return find_sets(args.data, names), by


def run(args: Any) -> list[Row]:
    """All rows, those measured before included."""
    rows = read_results(args.results)
    done = {key_of(row) for row in rows}
    counts, seeds = numbers(args.labels), numbers(args.seeds)
    sets, by = what_to_measure(args)
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as scratch:
        features = args.cache or Path(scratch) / "features"
        settings = load_settings()
        if args.base_model:
            settings = settings.model_copy(update={"base_model": str(args.base_model.absolute())})
            sets = {f"{name}, {args.base_model.name}": data for name, data in sets.items()}
        if not args.prior:
            settings = settings.model_copy(update={"base_model": str(write_stranger(Path(scratch) / "stranger"))})
            sets = {f"{name}, no prior": data for name, data in sets.items()}
        place = Workplace(settings, Path(scratch), features, args.threads)
        for name, data in sets.items():
            for seed in seeds:
                measured = by(name, data, counts, seed, args, place, done)
                for row in measured:
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
    table, of_spans, nested = [], is_of_spans(rows), nested_sets.is_nested(rows)
    measures: Sequence[str] = nested_sets.MEASURES if nested else spans.MEASURES if of_spans else MEASURES
    measures = pattern_lists.MEASURES if pattern_lists.is_patterns(rows) else measures
    if teachers.is_teachers(rows):
        measures = quote_teachers.MEASURES if of_spans else teachers.MEASURES
    for (name, method, count), cell in sorted(cells.items(), key=lambda item: (item[0][0], item[0][2], item[0][1])):
        middle = {key: round(statistics.median(float(row.get(key) or 0) for row in cell), 3) for key in measures}
        if nested or pattern_lists.is_patterns(rows) or teachers.is_teachers(rows):
            table.append({"set": name, "n": count, "method": method, **middle, "seeds": len(cell)})
            continue
        if of_spans:
            missed = spans.shortfalls(name, count, middle["f1"], middle["saved"], middle["ece"])
        else:
            missed = shortfalls(name, count, middle["accuracy"], middle["macro_f1"], middle["ece"])
        verdict = (", ".join(missed) or "reached") if method.startswith("understudy") else ""
        table.append({"set": name, "n": count, "method": method, **middle, "seeds": len(cell), "goals": verdict})
    return table


def write_report(rows: Sequence[Row], table: Sequence[Row], out: Path) -> None:
    """`learning.md` (of spans `spans.md`) with the table and one picture per set."""
    out.mkdir(parents=True, exist_ok=True)
    page, heading = ("spans", spans.HEADING) if is_of_spans(rows) else ("learning", HEADING)
    if nested_sets.is_nested(rows):
        page, heading = "spans-nested", nested_sets.HEADING
    if pattern_lists.is_patterns(rows):
        page, heading = "spans-patterns", pattern_lists.HEADING
    if teachers.is_teachers(rows):
        page, heading = "teacher", quote_teachers.HEADING if is_of_spans(rows) else teachers.HEADING
    lines = [heading, "| " + " | ".join(table[0]) + " |", "|" + " --- |" * len(table[0])]
    lines += ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in table]
    (out / f"{page}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in dict.fromkeys(row["set"] for row in rows if page not in ("spans-nested", "spans-patterns", "teacher")):
        draw([row for row in rows if row["set"] == name], out / f"{page}-{name}.png", name)


def parse(arguments: Sequence[str] | None) -> Any:
    """The command line."""
    parser = command(__doc__)
    parser.add_argument("--spans", action="store_true", help="of texts with marked spans")
    parser.add_argument("--nested", action="store_true", help="of spans that overlap")
    parser.add_argument("--patterns", action="store_true", help="of spans, with lists of strings and without")
    parser.add_argument(
        "--teacher",
        type=LIST_OF_SHARES,
        default="",
        help="with simulated teachers that get these shares right, and without",
    )
    parser.add_argument("--changes", action="store_true", help="with every change to the learning on and off")
    parser.add_argument("--formats", action="store_true", help="in int8 beside float32")
    parser.add_argument("--queue", action=argparse.BooleanOptionalAction, default=True, help="with --changes: queues")
    parser.add_argument("--base-model", type=Path, metavar="DIR", help="over this encoder")
    parser.add_argument("--dev", action="store_true", help="with --patterns: measured on training texts")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--sets", default="")
    parser.add_argument("--labels", type=LIST_OF_COUNTS)
    parser.add_argument("--seeds", type=LIST_OF_COUNTS)
    known = f"of {', '.join(PEERS)}; of spans {', '.join(spans.SPAN_PEERS)}; '' for none"
    parser.add_argument("--peers", help=known)
    parser.add_argument("--finetune", action=argparse.BooleanOptionalAction, default=True)
    without = "of texts with spans: without it words are judged by no label's name"
    parser.add_argument("--prior", action=argparse.BooleanOptionalAction, default=True, help=without)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--report", type=Path, help="measure nothing: render these results")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--picture", action="store_true", help="measure nothing: draw the README's picture")
    parser.add_argument("--fetch-languages", type=Path, metavar="DIR", help="measure nothing: write sets of languages")
    args = parser.parse_args(arguments)
    data = ROOT.parent / "shared" / "data"
    for name, *values in (
        ("data", data, data / "ner", data / "ner"),
        (
            "labels",
            _counts_of_choices(args),
            _counts_of_spans(args),
            nested_sets.COUNTS,
        ),
        (
            "seeds",
            changes.SEEDS if args.changes else number_formats.SEEDS if args.formats else SEEDS,
            pattern_lists.SEEDS if args.patterns or args.teacher else SEEDS,
            SEEDS,
        ),
        ("peers", "tfidf,lr", "memory,crf,softmax", "longest,each"),
    ):
        if getattr(args, name) is None:
            setattr(args, name, values[2 if args.nested else 1 if args.spans else 0])
    peers = nested_sets.FITS if args.nested else spans.SPAN_PEERS if args.spans else PEERS
    expect_known(parser, "--peers", args.peers, peers)
    return args


def _counts_of_choices(args: Any) -> str:
    if args.formats:
        return number_formats.COUNTS
    return teachers.COUNTS if args.teacher else changes.COUNTS if args.changes else COUNTS


def _counts_of_spans(args: Any) -> str:
    if args.formats:
        return number_formats.SPAN_COUNTS
    return teachers.COUNTS if args.teacher else pattern_lists.COUNTS if args.patterns else spans.COUNTS


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line entry."""
    args = parse(arguments)
    if args.fetch_languages:
        return print(*write_language_sets(args.fetch_languages, args.sets), sep="\n")
    if args.picture:
        curves = [read_curve(method) for method, _, _ in METHODS]
        TABLE.with_name("curve.svg").write_text(picture_of(curves), encoding="utf-8")
        return
    rows = read_results(args.report) if args.report else run(args)
    expect_sets(rows, args.data)
    if changes.is_changes(rows):
        if not args.json:
            show("every change on and off, medians over the seeds", changes.table_of(rows))
        return changes.write_changes(rows, args.out) if args.out else None
    if number_formats.is_formats(rows):
        if not args.json:
            show("int8 beside float32, means over the orders", number_formats.table_of(rows))
        return number_formats.write_formats(rows, args.out) if args.out else None
    table = summarise(rows)
    if not args.json:
        show("learning curves, medians over the seeds", table)
    if args.out:
        write_report(rows, table, args.out)


if __name__ == "__main__":
    main()
