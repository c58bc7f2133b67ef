"""Labels needed to reach 90 and 95 % of what all labels give, by strategy, through the real queue.

    python -m bench.active_learning [--data DIR|FILE.csv] [--sets banking77,agnews] [--strategies random,margin]
                                    [--seeds 0,1,2] [--pool 4000] [--max-labels 1000] [--annotators 1] [--anonymous]
                                    [--results R.jsonl] [--cache DIR] [--threads 1] [--out DIR] [--json]
    python -m bench.active_learning --spans [--sets wikigold,snips] [--strategies random,margin_clusters,sum_div]
    python -m bench.active_learning --hunt [--orders] [--sets banking77,goemotions_ekman] [--strategies hunting,draws]
    python -m bench.active_learning --report R.jsonl [--out DIR]

DIR holds one folder per set with train.csv and test.csv. `full`: accuracy, of sets micro-F1, of the product's head on
all rows of the seed's pool. A share of it is reached where two plans in a row have it: the first of them counts. Rows
are appended to --results as they are measured; finished curves are not measured again, so the bench can be stopped and
continued. Of texts with spans it is F1 on the test texts at so many words read, beside random's of the same seed there
(between its own points, along the logarithm), and at so many texts. `--hunt`: labels until every class has five
examples, of 50 random draws, too, and accuracy at equal labels, of random, the queue, and the queue that hunts; with
`--orders` labels until a scarce class has five that alone is hunted, by its name's words and by one task like it. The
orders 0 to 12 are those that the constants were chosen on.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from typing import Any

from backend.cli.simulate.progress import Progress
from backend.jobs.task_queue.hunts import ORDERED_SHARE
from backend.settings.settings import load_settings
from backend.simulate.trainer import Workplace
from bench.learning import TEST_ROWS, find_sets, keep, read_results
from bench.support.replays import EQUAL_LABELS, HUNTING, QUEUED, WITHOUT_QUEUE, Course, QueueReplay
from bench.support.report import LIST_OF_COUNTS, command, draw_curves, expect_known, judge, numbers, show, write_table
from bench.support.span_replays import SUM_DIV, SpanQueueReplay, bars_of_spans, summarise_spans
from bench.support.spans import find_span_sets
from bench.support.texts import expect_sets
from model.acquisition.strategies import DEFAULT_STRATEGY, STRATEGIES
from model.simulation.dataset import Dataset
from model.spec import Label
from tests.support.rig import ROOT

SHARES = (0.9, 0.95)
HARD_SET = "banking77"
"""The set on which the default must need at most half of random's labels."""

DRAWS = "draws"
"""Random orders of the pool, without a model."""

Row = dict[str, Any]
Curve = list[tuple[int, float]]


def labels_needed(curve: Curve, goal: float) -> int | None:
    """Labels at the first of two plans in a row that reach `goal`; None when the curve ends before."""
    for (count, accuracy), (_, following) in pairwise(curve):
        if accuracy >= goal and following >= goal:
            return count
    return None


def replay(name: str, data: Dataset, course: Course, args: Any, place: Workplace, full: float) -> Iterator[Row]:
    """The rows of one curve; the last one says that it is finished."""
    progress = Progress()
    progress.about(f"{name}, {course.strategy}, seed {course.seed}")
    curve: Curve = []
    for row in QueueReplay(data, course, place.base, place.settings, progress.tell).points():
        curve.append((row["n"], row["accuracy"]))
        yield {"set": name, **row, "annotators": course.annotators}
        if labels_needed(curve, SHARES[-1] * full) is not None:
            break
    progress.clear()
    yield {
        "set": name,
        "strategy": course.strategy,
        "seed": course.seed,
        "n": curve[-1][0],
        "finished": args.max_labels,
    }


def run(args: Any) -> list[Row]:
    """All rows, those measured before included. One seed after the other, so that a table is whole early."""
    rows = read_results(args.results)
    sets = find_sets(args.data, args.sets.split(",") if args.sets else ())
    if args.anonymous:
        sets = {f"{name}, no names": without_names(data) for name, data in sets.items()}
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as scratch:
        place = Workplace(load_settings(), Path(scratch), args.cache or Path(scratch) / "features", args.threads)
        for seed in numbers(args.seeds):
            for name, data in sets.items():
                full = _full(rows, name, data, seed, args, place)
                for strategy in args.strategies.split(","):
                    if any(_is_end(row, name, strategy, seed, args.max_labels) for row in rows):
                        continue
                    rows = [row for row in rows if not _is_of(row, name, strategy, seed)]  # of a run that was stopped
                    course = Course(strategy, seed, args.pool, args.max_labels, args.annotators)
                    for row in replay(name, data, course, args, place, full):
                        rows.append(row)
                        keep(row, args)
        place.close()
    return rows


def run_spans(args: Any) -> list[Row]:
    """The same of texts with spans: no curve ends early."""
    rows = read_results(args.results)
    sets = find_span_sets(args.data, args.sets.split(",") if args.sets else ())
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as scratch:
        place = Workplace(load_settings(), Path(scratch), args.cache or Path(scratch) / "features", args.threads)
        for seed in numbers(args.seeds):
            for name, strategy in product(sets, args.strategies.split(",")):
                if any(_is_end(row, name, strategy, seed, args.max_labels) for row in rows):
                    continue
                progress, course = Progress(), Course(strategy, seed, args.pool, args.max_labels)
                progress.about(f"{name}, {strategy}, seed {seed}")
                rows = [row for row in rows if not _is_of(row, name, strategy, seed)]
                replay = SpanQueueReplay(sets[name], course, place.span_tools(), place.settings, progress.tell)
                for row in replay.points():
                    rows.append({"set": name, **row})
                    keep(rows[-1], args)
                rows.append({"set": name, "strategy": strategy, "seed": seed, "finished": args.max_labels})
                keep(rows[-1], args)
                progress.clear()
        place.close()
    return rows


HUNT_SETS = ("banking77", "goemotions_ekman")
"""Sets with scarce classes, for which the bars of HUNT_BARS hold."""

HUNT_BARS = {DEFAULT_STRATEGY: 0.6, DRAWS: 0.4}
"""Share of these ways' labels that hunting may need there."""

ACCURACY_NOISE = 0.02
"""Of a difference of two accuracies on 1,000 test texts: gaps below are ties."""

DRAWN, ORDERED_CLASSES, ORDERED_LABELS = 50, 3, 200
"""Random orders of a pool; of its classes the scarcest, each ordered alone, and labels after which that is given up."""

ORDERS = {DEFAULT_STRATEGY: None, "order": "", "order, words": "words", "order, like": "like"}
"""Ways to have more of one class of which one member is known: what is said of its members."""


def run_hunts(args: Any) -> list[Row]:
    """One row a set, seed and way of choosing, with --orders also a class."""
    rows, sets = read_results(args.results), find_sets(args.data, args.sets.split(",") if args.sets else ())
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as scratch:
        place = Workplace(load_settings(), Path(scratch), args.cache or Path(scratch) / "features", args.threads)
        for seed, name in product(numbers(args.seeds), sets):
            data = sets[name].capped(TEST_ROWS)
            for about, replay in (
                _order_ways(data, seed, args, place) if args.orders else _ways(data, seed, args, place)
            ):
                wanted = {"set": name, "seed": seed, **about}
                if any(wanted.items() <= row.items() for row in rows):
                    continue
                rows.append({**wanted, **replay()})
                keep(rows[-1], args)
        place.close()
    return rows


def _ways(data: Dataset, seed: int, args: Any, place: Workplace) -> Iterator[tuple[Row, Callable[[], Row]]]:
    queue = Course(DEFAULT_STRATEGY, seed, args.pool, args.max_labels)
    hunting, random = replace(queue, hunt_share=place.settings.hunt_share), replace(queue, strategy=WITHOUT_QUEUE)
    courses = {HUNTING: hunting, DEFAULT_STRATEGY: queue, WITHOUT_QUEUE: random, DRAWS: random}
    for way in args.strategies.split(","):
        replay = QueueReplay(data, courses[way], place.base, place.settings)
        yield {"strategy": way}, partial(_draw, replay) if way == DRAWS else replay.follow_classes


def _draw(replay: QueueReplay) -> Row:
    each = replay.draw(DRAWN)
    return {"needed": statistics.median(each), "labels": len(replay.candidates), "hunted": 0, "hits": 0, "each": each}


def _order_ways(data: Dataset, seed: int, args: Any, place: Workplace) -> Iterator[tuple[Row, Callable[[], Row]]]:
    course = Course(DEFAULT_STRATEGY, seed, args.pool, min(args.max_labels, ORDERED_LABELS))
    rarest = QueueReplay(data, course, place.base, place.settings).rarest(ORDERED_CLASSES)
    for own, (way, by) in product(rarest, ORDERS.items()):
        ordered = replace(course, hunt_share=0.0 if by is None else ORDERED_SHARE, order=(own, by or ""))
        replay = QueueReplay(data, ordered, place.base, place.settings)
        yield {"strategy": way, "class": data.control.keys()[own]}, replay.follow_order


def summarise_hunts(rows: Sequence[Row]) -> list[Row]:
    """One row a set and way: medians over the seeds; `needed` is more than all labels where classes were missing."""
    table: list[Row] = []
    for key in sorted({(row["set"], row["strategy"]) for row in rows}):
        own = [row for row in rows if (row["set"], row["strategy"]) == key]
        needed = [row["needed"] or float("inf") for row in own]
        line: Row = {"set": key[0], "way": key[1], "rows": len(own), "needed": statistics.median(needed)}
        line["each"] = " ".join(map(_shown, needed))
        line["labels"] = max(row["labels"] for row in own)
        asked = sum(row["hunted"] for row in own)
        line["hits"] = f"{sum(row['hits'] for row in own) / asked:.2f}" if asked else ""
        for name, count in product(("accuracy", "macro_f1"), ("mean", *EQUAL_LABELS)):
            found = [row[f"{name} {count}"] for row in own if f"{name} {count}" in row]
            if found:
                line[f"{name} {count}"] = round(statistics.median(found), 3)
        table.append(line)
    return table


def judge_hunts(table: Sequence[Row]) -> list[Row]:
    """The bars. A way whose curve ended before every class had its examples counts as needing all its labels."""
    found: list[Row] = []
    by_way = {(row["set"], row["way"]): row for row in table}
    for (name, way), own in by_way.items():
        for other in (DEFAULT_STRATEGY, DRAWS, WITHOUT_QUEUE) if way == HUNTING else ():
            if (beside := by_way.get((name, other))) is None:
                continue
            if name in HUNT_SETS and other in HUNT_BARS:
                ratio = round(own["needed"] / min(beside["needed"], beside["labels"]), 3)
                found.append({"set": name, "labels, of": other, "share": ratio, **judge(ratio, "<=", HUNT_BARS[other])})
            both = own.keys() & beside.keys()
            if shared := [key for count in ("mean", *EQUAL_LABELS) if (key := f"accuracy {count}") in both]:
                least = round(min(own[key] - beside[key] for key in shared), 3)
                verdict = judge(least, ">=", -ACCURACY_NOISE)
                found.append({"set": name, "accuracy, less": other, "share": least, **verdict})
    return found


def without_names(data: Dataset) -> Dataset:
    """The set with label names that say nothing: no cold start from them."""
    labels = tuple(Label(label.path, f"label {place}") for place, label in enumerate(data.control.labels))
    return replace(data, control=replace(data.control, labels=labels))


def _full(rows: list[Row], name: str, data: Dataset, seed: int, args: Any, place: Workplace) -> float:
    known = [row["full"] for row in rows if row["set"] == name and row["seed"] == seed and "full" in row]
    if known:
        return float(known[0])
    course = Course("random", seed, args.pool)
    full = QueueReplay(data, course, place.base, place.settings, Progress().tell).whole()
    rows.append({"set": name, "seed": seed, "full": round(full, 6), "pool": args.pool})
    keep(rows[-1], args)
    return full


def _is_of(row: Row, name: str, strategy: str, seed: int) -> bool:
    return bool((row["set"], row.get("strategy"), row["seed"]) == (name, strategy, seed))


def _is_end(row: Row, name: str, strategy: str, seed: int, most: int) -> bool:
    return _is_of(row, name, strategy, seed) and (row.get("finished", 0) >= most)


def curves_of(rows: Sequence[Row]) -> dict[tuple[str, str, int], Curve]:
    """(set, strategy, seed) -> the finished curve, in the order of the labels."""
    ended = {(row["set"], row["strategy"], row["seed"]) for row in rows if "finished" in row}
    found: dict[tuple[str, str, int], dict[int, float]] = {}
    for row in rows:
        key = (row["set"], row.get("strategy", ""), row["seed"])
        if key in ended and "accuracy" in row:
            found.setdefault(key, {})[row["n"]] = row["accuracy"]
    return {key: sorted(curve.items()) for key, curve in found.items()}


def summarise(rows: Sequence[Row]) -> list[Row]:
    """One row per set and strategy: medians over the seeds of the labels needed (a curve that ends before counts as
    more than all), each seed's, and how many times random's that is on the same seeds."""
    full = {(row["set"], row["seed"]): row["full"] for row in rows if "full" in row}
    needed: dict[tuple[str, str], dict[int, list[float]]] = {}
    for (name, strategy, seed), curve in curves_of(rows).items():
        goals = [labels_needed(curve, share * full[name, seed]) for share in SHARES]
        needed.setdefault((name, strategy), {})[seed] = [float("inf") if goal is None else goal for goal in goals]
    table = []
    for (name, strategy), by_seed in sorted(needed.items(), key=lambda item: (item[0][0], _rank(item[1]))):
        random = needed.get((name, "random"), {})
        row: Row = {"set": name, "strategy": strategy, "seeds": len(by_seed)}
        row["full"] = round(statistics.median(full[name, seed] for seed in by_seed), 3)
        for place, share in enumerate(SHARES):
            own = _median(by_seed, list(by_seed), place)
            both = [seed for seed in by_seed if seed in random]
            ratio = _ratio(_median(by_seed, both, place), _median(random, both, place)) if both else None
            row[f"to {share:.0%}"] = _shown(own)
            row[f"each {share:.0%}"] = " ".join(_shown(goals[place]) for _, goals in sorted(by_seed.items()))
            row[f"of random {share:.0%}"] = ratio
        table.append(row)
    return table


def bars(table: Sequence[Row], default: str = DEFAULT_STRATEGY) -> list[Row]:
    """The default's labels as a multiple of random's, against the bars: never more than random's, and at most half for
    one of the two goals on HARD_SET."""
    found: list[Row] = []
    for row in table:
        ratios = {share: row[f"of random {share:.0%}"] for share in SHARES}
        known = {share: ratio for share, ratio in ratios.items() if ratio is not None}
        if row["strategy"] != default or not known:
            continue
        for share, ratio in known.items():
            found.append({"set": row["set"], "to": f"{share:.0%}", "of_random": ratio, **judge(ratio, "<=", 1)})
        if row["set"] == HARD_SET:
            best = min(known.values())
            found.append({"set": row["set"], "to": "either", "of_random": best, **judge(best, "<=", 0.5)})
    return found


def _median(by_seed: dict[int, list[float]], seeds: Sequence[int], place: int) -> float:
    return statistics.median(by_seed[seed][place] for seed in seeds)


def _rank(by_seed: dict[int, list[float]]) -> tuple[float, float]:
    return _median(by_seed, list(by_seed), 1), _median(by_seed, list(by_seed), 0)


def _ratio(own: float, other: float) -> float | None:
    if other == float("inf"):
        return None  # random never got there
    if own == other:
        return 1.0
    return round(own / other, 3) if other else float("inf")


def _shown(count: float) -> str:
    return "more" if count == float("inf") else f"{count:g}"


def write_report(rows: Sequence[Row], table: Sequence[Row], out: Path) -> None:
    """`active-learning.md` with the table, and a picture of the curves."""
    full: dict[str, list[float]] = {}
    for row in rows:
        if "full" in row:
            full.setdefault(row["set"], []).append(row["full"])
    goals = {name: [share * statistics.median(values) for share in SHARES] for name, values in full.items()}
    write_table(table, out / "active-learning.md")
    draw_curves(curves_of(rows), goals, out / "active-learning.png")


def parse(arguments: Sequence[str] | None) -> Any:
    """The command line."""
    parser = command(__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--spans", action="store_true", help="texts with spans instead of choices")
    parser.add_argument("--hunt", action="store_true", help="labels until every class has examples")
    parser.add_argument(
        "--orders", action="store_true", help="of --hunt: one scarce class alone, by words and likeness"
    )
    parser.add_argument("--sets", default="")
    parser.add_argument("--strategies")
    parser.add_argument("--seeds", type=LIST_OF_COUNTS, help="default 0,1,2, of --hunt 20,21,22")
    parser.add_argument("--pool", type=int, help="default 4000, of spans 1000")
    parser.add_argument("--max-labels", type=int, help="default 1000, of spans 256, of --hunt 2000")
    parser.add_argument("--anonymous", action="store_true", help="with label names that say nothing")
    parser.add_argument("--annotators", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--report", type=Path, help="measure nothing: summarise these results")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(arguments)
    data, spans = ROOT.parent / "shared" / "data", [WITHOUT_QUEUE, DEFAULT_STRATEGY, SUM_DIV]
    args.data = args.data or (data / "ner" if args.spans else data)
    hunts = [HUNTING, DEFAULT_STRATEGY, WITHOUT_QUEUE, DRAWS]
    usual = spans if args.spans else hunts if args.hunt else [*STRATEGIES, QUEUED]
    args.strategies = args.strategies or ",".join(usual)
    known = hunts if args.hunt else [*STRATEGIES, SUM_DIV if args.spans else QUEUED]
    expect_known(parser, "--strategies", args.strategies, known)
    args.seeds = args.seeds or ("20,21,22" if args.hunt else "0,1,2")
    args.pool = args.pool or (1000 if args.spans else 4000)
    args.max_labels = args.max_labels or (256 if args.spans else 2000 if args.hunt else 1000)
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line entry."""
    args = parse(arguments)
    if args.hunt:
        rows = expect_sets(read_results(args.report) if args.report else run_hunts(args), args.data)
        ordered = summarise_hunts([row for row in rows if "class" in row])
        table = summarise_hunts([row for row in rows if "class" not in row])
        if table:
            show("labels until every class has its examples, and accuracy at equal labels; medians", table, args.json)
            show("hunting against the queue without it and random", judge_hunts(table), args.json)
        if ordered:
            show("labels until a scarce class has its examples, one of them known; medians", ordered, args.json)
        return
    if args.spans:
        rows = expect_sets(read_results(args.report) if args.report else run_spans(args), args.data)
        table = summarise_spans(rows)
        show("F1 beside random's at equal words read and at equal texts, points", table, args.json)
        show("the default's gain at equal words, points", bars_of_spans(table), args.json)
        return
    rows = expect_sets(read_results(args.report) if args.report else run(args), args.data)
    table = summarise(rows)
    show("labels needed to reach a share of full-data accuracy, medians over the seeds", table, args.json)
    if judged := bars(table):
        show(f"labels of the default, {DEFAULT_STRATEGY}, as a multiple of random's", judged, args.json)
    if args.out:
        write_report(rows, table, args.out)


if __name__ == "__main__":
    main()
