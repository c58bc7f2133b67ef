"""Labels needed to reach 90 and 95 % of what all labels give, by strategy, through the real queue.

    python -m bench.active_learning [--data DIR|FILE.csv] [--sets banking77,agnews] [--strategies random,margin]
                                    [--seeds 0,1,2] [--pool 4000] [--max-labels 1000] [--annotators 1] [--anonymous]
                                    [--results R.jsonl] [--cache DIR] [--threads 1] [--out DIR] [--json]
    python -m bench.active_learning --spans [--sets wikigold,snips] [--strategies random,margin_clusters,sum_div]
    python -m bench.active_learning --hunt [--sets banking77,goemotions_ekman] [--seeds 0,1,2] [--max-labels 900]
    python -m bench.active_learning --report R.jsonl [--out DIR]

DIR holds one folder per set with train.csv and test.csv. `full`: accuracy, of sets micro-F1, of the product's head on
all rows of the seed's pool. A share of it is reached where two plans in a row have it: the first of them counts. Rows
are appended to --results as they are measured; finished curves are not measured again, so the bench can be stopped and
continued. Of texts with spans it is F1 on the test texts at so many words read, beside random's of the same seed there
(between its own points, along the logarithm), and at so many texts. `--hunt`: labels until every class has so many
examples, and accuracy at equal labels, of random, the queue, and the queue that hunts.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np

from backend.cli.simulate import Speaker
from backend.settings.settings import load_settings
from backend.simulate.trainer import Workplace
from bench.learning import TEST_ROWS, find_sets, keep, read_results
from bench.support import replays
from bench.support.replays import QUEUED, WITHOUT_QUEUE, Course, QueueReplay
from bench.support.report import command, judge, show
from bench.support.span_replays import SUM_DIV, SpanQueueReplay
from bench.support.spans import find_span_sets
from model.acquisition.strategies import DEFAULT_STRATEGY, STRATEGIES
from model.simulation.dataset import Dataset
from model.spec import Label
from tests.support.rig import ROOT

SHARES = (0.9, 0.95)
HARD_SET = "banking77"
"""The set on which the default must need at most half of random's labels."""

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
    speaker = Speaker()
    speaker.about(f"{name}, {course.strategy}, seed {course.seed}")
    curve: Curve = []
    for row in QueueReplay(data, course, place.base, place.settings, speaker.tell).points():
        curve.append((row["n"], row["accuracy"]))
        yield {"set": name, **row, "annotators": course.annotators}
        if labels_needed(curve, SHARES[-1] * full) is not None:
            break
    speaker.clear()
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
        for seed in (int(part) for part in args.seeds.split(",")):
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
        for seed in (int(part) for part in args.seeds.split(",")):
            for name, strategy in product(sets, args.strategies.split(",")):
                if any(_is_end(row, name, strategy, seed, args.max_labels) for row in rows):
                    continue
                speaker, course = Speaker(), Course(strategy, seed, args.pool, args.max_labels)
                speaker.about(f"{name}, {strategy}, seed {seed}")
                rows = [row for row in rows if not _is_of(row, name, strategy, seed)]
                replay = SpanQueueReplay(sets[name], course, place.span_tools(), place.settings, speaker.tell)
                for row in replay.points():
                    rows.append({"set": name, **row})
                    keep(rows[-1], args)
                rows.append({"set": name, "strategy": strategy, "seed": seed, "finished": args.max_labels})
                keep(rows[-1], args)
                speaker.clear()
        place.close()
    return rows


def run_hunts(args: Any) -> list[Row]:
    """One row a set, seed and way of choosing."""
    rows, sets = read_results(args.results), find_sets(args.data, args.sets.split(",") if args.sets else ())
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as scratch:
        place = Workplace(load_settings(), Path(scratch), args.cache or Path(scratch) / "features", args.threads)
        for seed, name in product((int(part) for part in args.seeds.split(",")), sets):
            for way, course in replays.hunt_courses(seed, args.pool, args.max_labels, place.settings.hunt_share):
                if any(_is_of(row, name, way, seed) for row in rows):
                    continue
                found = QueueReplay(sets[name].capped(TEST_ROWS), course, place.base, place.settings).follow_classes()
                rows.append({"set": name, "strategy": way, "seed": seed, **found})
                keep(rows[-1], args)
        place.close()
    return rows


def summarise_spans(rows: Sequence[Row]) -> list[Row]:
    """One row per set, strategy and number of texts: means over the seeds of words read, F1, and of its distance in
    points from F1 at random at so many words, and at so many texts; `+-`: standard error of the mean at equal words.
    Each seed is compared with random's curve of the same seed, which reads the same texts as long as any will do. Of
    random itself: the distance of a seed from the mean of the others, and what it spreads."""
    ended = {(row["set"], row["strategy"], row["seed"]) for row in rows if "finished" in row}
    points = [row for row in rows if "f1" in row and (row["set"], row["strategy"], row["seed"]) in ended]
    found: list[Row] = []
    for key in sorted({(row["set"], row["strategy"], row["n"]) for row in points}):
        own = [row for row in points if (row["set"], row["strategy"], row["n"]) == key]
        random = [row for row in points if (row["set"], row["strategy"]) == (key[0], WITHOUT_QUEUE)]
        f1 = [row["f1"] for row in own]
        line: Row = {"set": key[0], "strategy": key[1], "texts": key[2], "seeds": len(own)}
        line |= {"words": round(statistics.mean(row["words"] for row in own)), "f1": round(statistics.mean(f1), 3)}
        for axis, what in (("words", "at equal words"), ("n", "at equal texts")):
            gains = [100 * (row["f1"] - base) for row in own if (base := _random_f1(random, row, axis)) is not None]
            line[what] = f"{statistics.mean(gains):+.1f}" if gains else ""
            if axis == "words":
                line["+-"] = f"{statistics.stdev(gains) / len(gains) ** 0.5:.1f}" if len(gains) > 1 else ""
        found.append(line)
    return found


def _random_f1(random: Sequence[Row], row: Row, axis: str) -> float | None:
    """Random's F1 where this row is: of the same seed, or the mean over the others where there is none (and for random
    itself); None where nobody knows."""
    own = row["strategy"] == WITHOUT_QUEUE
    seeds = _seeds(random) - {row["seed"]} if own or row["seed"] not in _seeds(random) else {row["seed"]}
    curves = [sorted((other[axis], other["f1"]) for other in random if other["seed"] == seed) for seed in seeds]
    curves = [curve for curve in curves if curve[-1][0] >= 0.9 * row[axis]]
    where = float(np.log(row[axis]))
    return statistics.mean(float(np.interp(where, *_logs(curve))) for curve in curves) if curves else None


def _seeds(rows: Sequence[Row]) -> set[int]:
    return {row["seed"] for row in rows}


def _logs(curve: Curve) -> tuple[list[float], list[float]]:
    return [float(np.log(place)) for place, _ in curve], [value for _, value in curve]


def bars_of_spans(table: Sequence[Row], default: str = DEFAULT_STRATEGY) -> list[Row]:
    """The default against the bars: never below random at equal words read, which a cell is that lies more than twice
    its standard error below, and three points above it on two sets at one number of texts at least."""
    own = [row for row in table if row["strategy"] == default and row["at equal words"]]
    found: list[Row] = []
    best: dict[str, float] = {}
    for name in sorted({row["set"] for row in own}):
        cells = [(float(row["at equal words"]), float(row["+-"] or 0)) for row in own if row["set"] == name]
        gains = [gain for gain, _ in cells]
        best[name] = max(gains)
        mean, least = statistics.mean(gains), min(gains)
        surely = min(gain + NOISE * error for gain, error in cells)
        found.append({"set": name, "points": "mean", "gain": round(mean, 1), **judge(mean, ">=", 0)})
        found.append({"set": name, "points": "least", "gain": least, **judge(least, ">=", 0)})
        found.append({"set": name, "points": "least, less noise", "gain": round(surely, 1), **judge(surely, ">=", 0)})
    if len(best) > 1:
        second = sorted(best.values())[-2]
        found.append({"set": "second best", "points": "most", "gain": second, **judge(second, ">=", 3)})
    return found


NOISE = 2.0
"""Standard errors that a cell may lie below random by chance: one in fifty does."""


def without_names(data: Dataset) -> Dataset:
    """The set with label names that say nothing: no cold start from them."""
    labels = tuple(Label(label.path, f"label {place}") for place, label in enumerate(data.control.labels))
    return replace(data, control=replace(data.control, labels=labels))


def _full(rows: list[Row], name: str, data: Dataset, seed: int, args: Any, place: Workplace) -> float:
    known = [row["full"] for row in rows if row["set"] == name and row["seed"] == seed and "full" in row]
    if known:
        return float(known[0])
    course = Course("random", seed, args.pool)
    full = QueueReplay(data, course, place.base, place.settings, Speaker().tell).whole()
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
    out.mkdir(parents=True, exist_ok=True)
    lines = ["| " + " | ".join(table[0]) + " |", "|" + " --- |" * len(table[0])]
    lines += ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in table]
    (out / "active-learning.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    draw_curves(rows, out / "active-learning.png")


def draw_curves(rows: Sequence[Row], path: Path) -> None:
    """One panel per set: accuracy against labels, medians over the finished seeds; dashed: the goals."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = curves_of(rows)
    sets = list(dict.fromkeys(name for name, _, _ in curves))
    figure = Figure(figsize=(5.5 * len(sets), 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, name in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        for strategy in sorted({strategy for known, strategy, _ in curves if known == name}):
            found = [dict(curve) for (known, own, _), curve in curves.items() if (known, own) == (name, strategy)]
            counts = sorted(set.intersection(*map(set, found)))
            middle = [statistics.median(curve[count] for curve in found) for count in counts]
            panel.plot(counts, middle, marker="o", markersize=2, label=f"{strategy} ({len(found)})")
        full = statistics.median(row["full"] for row in rows if row["set"] == name and "full" in row)
        for share in SHARES:
            panel.axhline(share * full, linestyle="--", linewidth=0.8, color="gray")
        panel.set_title(f"{name}: accuracy by labels")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7)
    figure.savefig(path, dpi=90)


def parse(arguments: Sequence[str] | None) -> Any:
    """The command line."""
    parser = command(__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--spans", action="store_true", help="texts with spans instead of choices")
    parser.add_argument("--hunt", action="store_true", help="labels until every class has examples")
    parser.add_argument("--sets", default="")
    parser.add_argument("--strategies")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--pool", type=int, help="default 4000, of spans 1000")
    parser.add_argument("--max-labels", type=int, help="default 1000, of spans 256")
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
    args.strategies = args.strategies or ",".join(spans if args.spans else [*STRATEGIES, QUEUED])
    args.pool = args.pool or (1000 if args.spans else 4000)
    args.max_labels = args.max_labels or (256 if args.spans else 1000)
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line entry."""
    args = parse(arguments)
    if args.hunt:
        rows = read_results(args.report) if args.report else run_hunts(args)
        table = replays.summarise_hunts(rows)
        show("labels until every class has its examples, and accuracy at equal labels; medians", table, args.json)
        show("hunting against the queue without it and random", replays.judge_hunts(table), args.json)
        return
    if args.spans:
        rows = read_results(args.report) if args.report else run_spans(args)
        table = summarise_spans(rows)
        show("F1 beside random's at equal words read and at equal texts, points", table, args.json)
        show("the default's gain at equal words, points", bars_of_spans(table), args.json)
        return
    rows = read_results(args.report) if args.report else run(args)
    if not rows:
        raise SystemExit(f"nothing measured: no set found in {args.data}")
    table = summarise(rows)
    show("labels needed to reach a share of full-data accuracy, medians over the seeds", table, args.json)
    if judged := bars(table):
        show(f"labels of the default, {DEFAULT_STRATEGY}, as a multiple of random's", judged, args.json)
    if args.out:
        write_report(rows, table, args.out)


if __name__ == "__main__":
    main()
