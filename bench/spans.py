"""Spans: ours beside string memory, a CRF on hand features and a softmax on the last layer, against the goals.

    python -m bench.spans [--data DIR] [--sets wikigold,snips] [--labels 0,4,8,16,64,256,1000]
                            [--seeds 11,12,13] [--methods understudy] [--results R.jsonl] [--json]
    python -m bench.spans --report R.jsonl

DIR holds a folder a set with train.jsonl and test.jsonl. Every row is appended to --results as soon as it is measured;
rows that are there are not measured again. The pool is the first 1,000 texts of train.jsonl, the test the first 500 of
test.jsonl. F1 is that of the spans shown when F1 is the aim; saved edits and ECE are of those shown to annotators. F1
of seen strings counts spans whose text (in lower case) was marked with the same label among the labelled texts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.support.report import show
from bench.support.span_goals import GOALS, ece_goal, shortfalls
from bench.support.span_methods import METHODS, Answer, Bench
from model.encoder.encoder import Encoder, find_base_model
from model.features.cache import FeatureCache
from model.spans.documents import read_documents
from model.spans.quality import f1_of, measure
from model.spans.span import Span, SpanDocument
from tests.support.rig import ROOT

POOL, TEST = 1000, 500
COUNTS, SEEDS = "0,4,8,16,32,64,128,256,512,1000", "11,12,13"
MEASURES = ("f1", "macro_f1", "saved", "ece", "f1_seen", "f1_unseen", "seconds", "warm_seconds")

Row = dict[str, Any]


def rows_of(bench: Bench, counts: Sequence[int], seed: int, methods: Sequence[str], done: set[Any]) -> Iterator[Row]:
    """Of one set and seed, what is not done. Samples are nested, and the same for every method."""
    order = np.random.default_rng(seed).permutation(len(bench.pool))
    for count in counts:
        documents = [bench.pool[place] for place in order[:count]]
        for method in methods:
            if (bench.name, method, count, seed) in done or (count == 0 and method != "understudy"):
                continue
            answer = METHODS[method](bench, documents)
            yield {
                "set": bench.name,
                "method": method,
                "n": count,
                "seed": seed,
                **figures(answer, bench.test, documents),
            }


def figures(answer: Answer, test: Sequence[SpanDocument], documents: Sequence[SpanDocument]) -> Row:
    """Of one answer."""
    drawn = [document.spans for document in test]
    best, shown = measure(answer.f1, drawn), measure(answer.clicks, drawn)
    seen, unseen = by_novelty(answer, test, documents)
    found: Row = {
        "f1": best.f1,
        "macro_f1": best.macro_f1,
        "saved": shown.saved,
        "ece": shown.ece,
        "f1_seen": seen,
        "f1_unseen": unseen,
        "seconds": answer.seconds,
    }
    if answer.warm_seconds is not None:
        found["warm_seconds"] = answer.warm_seconds
    return {name: round(float(value), 4) for name, value in found.items()}


def by_novelty(answer: Answer, test: Sequence[SpanDocument], documents: Sequence[SpanDocument]) -> tuple[float, float]:
    """F1 of spans whose string was marked so before, and of the others."""
    known = {(label_text(document.text, span)) for document in documents for span in document.spans}
    counts = {True: [0, 0, 0], False: [0, 0, 0]}
    for document, own in zip(test, answer.f1, strict=True):
        spans, drawn = {scored.span for scored in own}, set(document.spans)
        for place, group in enumerate((spans & drawn, spans, drawn)):
            for span in group:
                counts[label_text(document.text, span) in known][place] += 1
    return f1_of(*counts[True]), f1_of(*counts[False])


def label_text(text: str, span: Span) -> tuple[str, str]:
    """A string and its label."""
    return text[span.start : span.end].lower(), span.label


def summarise(rows: Sequence[Row]) -> list[Row]:
    """Medians over the seeds, with the goals and what falls short of them."""
    groups: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["set"], row["method"], row["n"]), []).append(row)
    table = []
    for (name, method, count), group in sorted(groups.items(), key=lambda item: _place(item[0])):
        median = {
            measure_name: round(statistics.median(row[measure_name] for row in group if measure_name in row), 3)
            for measure_name in MEASURES
            if any(measure_name in row for row in group)
        }
        line: Row = {"set": name, "n": count, "method": method, "seeds": len(group), **median}
        if method == "understudy":
            goal = GOALS.get(name, {}).get(count)
            line["goal"] = "" if goal is None else goal
            missed = shortfalls(name, count, median["f1"], median["saved"], median["ece"])
            line["short of it"] = ", ".join(missed) or ("-" if goal is not None or ece_goal(name, count) else "")
        table.append(line)
    return table


def _place(key: tuple[str, str, int]) -> tuple[int, int, int]:
    name, method, count = key
    return list(GOALS).index(name) if name in GOALS else len(GOALS), count, list(METHODS).index(method)


def read_results(path: Path | None) -> list[Row]:
    """Rows measured before."""
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def run(args: Any) -> list[Row]:
    """All rows, those measured before included."""
    rows = read_results(args.results)
    done = {(row["set"], row["method"], row["n"], row["seed"]) for row in rows}
    counts, seeds = ([int(part) for part in text.split(",")] for text in (args.labels, args.seeds))
    methods = args.methods.split(",")
    encoder = Encoder(find_base_model())
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as scratch:
        cache = FeatureCache(args.cache or Path(scratch) / "words", 4000)
        for name in args.sets.split(","):
            pool, test = (read_documents(args.data / name / f"{part}.jsonl") for part in ("train", "test"))
            bench = Bench.open(name, pool[:POOL], test[:TEST], encoder, cache)
            for seed in seeds:
                for row in rows_of(bench, counts, seed, methods, done):
                    rows.append(row)
                    if args.results:
                        with args.results.open("a", encoding="utf-8") as file:
                            file.write(json.dumps(row) + "\n")
    return rows


def main() -> None:
    """The table on the terminal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "ner")
    parser.add_argument("--sets", default=",".join(GOALS))
    parser.add_argument("--labels", default=COUNTS)
    parser.add_argument("--seeds", default=SEEDS)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--results", type=Path, help="rows so far, appended to")
    parser.add_argument("--report", type=Path, help="only print the table of these rows")
    parser.add_argument("--cache", type=Path, help="keep what the encoder said here")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = read_results(args.report) if args.report else run(args)
    show("spans: medians over the seeds", summarise(rows), args.json)


if __name__ == "__main__":
    main()
