"""Accuracy and calibration error on a base model that carries a trained head, by number of labels.

    python -m bench.learning.trained_head [--labels 0,8,16,32,64,128,256] [--taught 160] [--seeds 3] [--json]

The head is a logistic regression over MiniLM's first token, fitted on sample messages that are not among the labels.
`right` has it as it is, `wrong` with two of its eight labels exchanged, `none` without it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.learning.sample_messages import read_split
from bench.support.report import show
from model.encoder.encoder import Encoder, find_base_model
from model.features.cache import CachedEncoder, FeatureCache
from model.head.fit import fit_head
from model.numerics.metrics import evaluate
from model.pretrained_head import PretrainedHead
from model.spec import Control, Kind, Label, Sample

ENOUGH = 300
Rows = Sequence[tuple[str, str]]


def first_token_encoder(scratch: Path) -> CachedEncoder:
    """MiniLM pooled as a classifier reads it."""
    source, directory = find_base_model(), scratch / "model"
    (directory / "1_Pooling").mkdir(parents=True)
    (directory / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (directory / name).symlink_to(source / name)
    return CachedEncoder(Encoder(directory), FeatureCache(scratch / "features", 64))


def teach(base: CachedEncoder, rows: Rows, names: Sequence[str]) -> PretrainedHead:
    """A head in the form of BERT's, trained on `rows`."""
    from sklearn.linear_model import LogisticRegression

    hidden = np.tanh(base.embed([(text,) for text, _ in rows])[:, -1] / 2)
    fitted = LogisticRegression(C=3, max_iter=2000).fit(hidden, [names.index(label) for _, label in rows])
    dense = np.eye(hidden.shape[1]) / 2
    output = {"output.weight": fitted.coef_, "output.bias": fitted.intercept_}
    return PretrainedHead(tuple(names), False, "tanh", 1e-5, {"dense.weight": dense, **output})


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", default="0,8,16,32,64,128,256")
    parser.add_argument("--taught", type=int, default=160)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    train, test = read_split("train", 0), read_split("test", 0)[:ENOUGH]
    names = sorted({label for _, label in train})
    control = Control("label", Kind.SINGLE, ("text",), tuple(Label((name,), name) for name in names))
    texts = [(text,) for text, _ in test]
    targets = np.eye(len(names))[[names.index(label) for _, label in test]]
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        base = first_token_encoder(Path(scratch))
        right = teach(base, train[: args.taught], names)
        wrong = replace(right, labels=(names[1], names[0], *names[2:]))
        for count in (int(count) for count in args.labels.split(",")):
            row: dict[str, float] = {"labels": count}
            for case, base.taught in (("right", right), ("wrong", wrong), ("none", None)):
                found = []
                for seed in range(args.seeds):
                    order = np.random.default_rng(seed).permutation(len(train) - args.taught)[:count] + args.taught
                    samples = [Sample(int(i), (train[i][0],), {train[i][1]: 1.0}) for i in order]
                    head = fit_head(control, samples, [], base, seed=seed)
                    found.append(evaluate(head.scores(texts, base.embed(texts)), targets))
                row[f"{case}_accuracy"] = round(float(np.mean([item["accuracy"] for item in found])), 3)
                row[f"{case}_ece"] = round(float(np.mean([item["ece"] for item in found])), 3)
            rows.append(row)
    show("held-out accuracy on a base model with a trained head", rows, args.json)


if __name__ == "__main__":
    main()
