"""Injected label errors found again: precision and recall of both flags and of the most suspicious twentieth.

    python -m bench.label_errors [--data DIR] [--sets agnews,sst2] [--labels 512,1000] [--seeds 1] [--cache DIR]

5 % of the labels are replaced by another one, drawn evenly. DIR holds folders with a train.csv of `text,label`. Errors
that a set has of its own count as false alarms, so precision is a lower bound.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.support.report import command, show
from bench.support.texts import DATA, choice_control, read_split
from model.encoder.encoder import Encoder, find_base_model
from model.evidence.label_errors import LIKELY_WRONG, find_suspects
from model.features.cache import CachedEncoder, FeatureCache
from model.head.fit import fit_head
from model.interfaces import Embedder
from model.spec import Sample

SHARE = 0.05


def read_rows(folder: Path, count: int, seed: int) -> list[tuple[str, str]]:
    """`count` shuffled rows; none for a set with several labels a text."""
    rows = [(text, label.replace("_", " ")) for text, label in read_split("train", seed, folder)]
    if any("|" in label for _, label in rows):
        return []
    return rows[:count]


def inject(labels: Sequence[str], names: Sequence[str], seed: int) -> tuple[list[str], set[int]]:
    """The labels with SHARE of them replaced, and which."""
    random = np.random.default_rng(1000 + seed)
    wrong = {int(row) for row in random.choice(len(labels), round(SHARE * len(labels)), replace=False)}
    changed = list(labels)
    for row in sorted(wrong):
        changed[row] = str(random.choice([name for name in names if name != labels[row]]))
    return changed, wrong


def find_again(rows: Sequence[tuple[str, str]], embedder: Embedder, seed: int) -> dict[str, Any]:
    """Precision and recall of what is flagged."""
    names = sorted({label for _, label in rows})
    given, wrong = inject([label for _, label in rows], names, seed)
    control = choice_control(names)
    samples = [Sample(i, (text,), {label: 1.0}) for i, ((text, _), label) in enumerate(zip(rows, given, strict=True))]
    head = fit_head(control, samples, [{"text": text} for text, _ in rows], embedder, seed=seed, cross_fit=True)
    if head.out_of_fold is None:
        raise SystemExit("the head gives no out-of-fold answers")
    suspects = find_suspects(head.labels, head.out_of_fold, multilabel=False, limit=len(rows))
    shown = {
        "likely_wrong": {s.task for s in suspects if s.flag == LIKELY_WRONG},
        "flagged": {s.task for s in suspects if s.flag},
        "top_5%": {s.task for s in suspects[: len(wrong)]},
    }
    right = sum(suspect.suggested == rows[suspect.task][1] for suspect in suspects if suspect.task in wrong)
    found = sum(suspect.task in wrong for suspect in suspects)
    row: dict[str, Any] = {}
    for name, tasks in shown.items():
        hits = len(tasks & wrong)
        row |= {f"{name} P": round(hits / max(1, len(tasks)), 2), f"{name} R": round(hits / len(wrong), 2)}
    return {**row, "suggestion right": round(right / max(1, found), 2)}


def run(args: argparse.Namespace, embedder: Embedder) -> Iterator[dict[str, Any]]:
    """A row per set and number of labels (medians over seeds), then the medians over sets."""
    names = args.sets.split(",") if args.sets else sorted(path.parent.name for path in args.data.glob("*/train.csv"))
    for count in (int(count) for count in args.labels.split(",")):
        medians = []
        for name in names:
            drawn = [(seed, read_rows(args.data / name, count, seed)) for seed in range(args.seeds)]
            found = [find_again(rows, embedder, seed) for seed, rows in drawn if rows]
            if found:
                medians.append(_median(found))
                yield {"set": name, "labels": count, **medians[-1]}
        if medians:
            yield {"set": "median", "labels": count, **_median(medians)}


def _median(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {key: round(float(np.median([row[key] for row in rows])), 2) for key in rows[0]}


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--sets", default="", help="default: all")
    parser.add_argument("--labels", default="512,1000")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--cache", type=Path, help="where encoded texts are kept for the next run")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base = CachedEncoder(Encoder(find_base_model()), FeatureCache(args.cache or Path(scratch), 512))
        show("injected label errors found again", list(run(args, base)), args.json)


if __name__ == "__main__":
    main()
