"""Accuracy, macro-F1, log-loss and calibration error on held-out sample messages, by number of labels.

    python -m bench.learning.sample_messages [--labels 0,16,64,256] [--held-out 300] [--seed 0] [--json]

The heads are fitted as the learner does it, on the sample's train split; the test split is never fitted on.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

import numpy as np

from bench.support.report import show
from model.encoder.encoder import Encoder, find_base_model
from model.features.cache import CachedEncoder, FeatureCache
from model.head.fit import fit_head
from model.numerics.metrics import evaluate
from model.spec import Control, Kind, Label, Sample
from tests.support.rig import SAMPLE

POOL = 300


def read_split(name: str, seed: int) -> list[tuple[str, str]]:
    """Shuffled (text, label) rows of one split."""
    with SAMPLE.open(newline="", encoding="utf-8") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file) if row["split"] == name]
    order = np.random.default_rng(seed).permutation(len(rows))
    return [rows[index] for index in order]


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", default="0,16,64,256")
    parser.add_argument("--held-out", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    train, test = read_split("train", args.seed), read_split("test", args.seed)[: args.held_out]
    names = sorted({label for _, label in train})
    control = Control("label", Kind.SINGLE, ("text",), tuple(Label((name,), name) for name in names))
    texts = [(text,) for text, _ in test]
    targets = np.eye(len(names))[[names.index(label) for _, label in test]]
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        base = CachedEncoder(Encoder(find_base_model()), FeatureCache(Path(scratch), 64))
        for count in (int(count) for count in args.labels.split(",")):
            samples = [Sample(i, (text,), {label: 1.0}) for i, (text, label) in enumerate(train[:count])]
            pool = [{"text": text} for text, _ in train[:POOL]]
            head = fit_head(control, samples, pool, base, seed=args.seed)
            found = evaluate(head.scores(texts, base.embed(texts)), targets)
            rows.append({"labels": count, **{name: round(float(value), 3) for name, value in found.items()}})
    show("held-out accuracy of the heads on the sample messages", rows, args.json)


if __name__ == "__main__":
    main()
