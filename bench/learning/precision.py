"""What bfloat16 costs in answers: a head fitted on exact features, asked on bfloat16 ones.

    python -m bench.learning.precision [--train 200] [--test 200] [--json]

`flips`: answers that change; `margin`: the largest lead of the exact answer over the runner-up among those. Without
bfloat16 in the hardware torch emulates it, so times say nothing then.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from bench.support.report import show
from model.encoder.encoder import Encoder, find_base_model
from tests.support.rig import ROOT, read_rows

DATA = ROOT.parent / "shared" / "data"


def compare(name: str, directory: Path, train: int, test: int, exact: Encoder, half: Encoder) -> dict[str, Any]:
    """Accuracy of one head on features of both precisions, and where its answers differ."""
    rng = np.random.default_rng(0)
    taught, asked = (
        [rows[i] for i in rng.permutation(len(rows))[:count]]
        for rows, count in ((read_rows(directory / "train.csv"), train), (read_rows(directory / "test.csv"), test))
    )
    head = LogisticRegression(C=10.0, max_iter=1000).fit(_features(exact, taught), [label for _, label in taught])
    one, other = (head.predict_proba(_features(encoder, asked)) for encoder in (exact, half))
    truth = np.array([label for _, label in asked])
    flips = one.argmax(1) != other.argmax(1)
    ordered = np.sort(one, axis=1)
    lead = ordered[:, -1] - ordered[:, -2]
    right = [round(float((head.classes_[rows.argmax(1)] == truth).mean()), 4) for rows in (one, other)]
    return {
        **{"set": name, "classes": one.shape[1], "train": len(taught), "test": len(asked)},
        **{"accuracy fp32": right[0], "accuracy bf16": right[1], "flips": int(flips.sum())},
        "margin of flips": round(float(lead[flips].max()), 4) if flips.any() else 0.0,
        "largest change": round(float(np.abs(one - other).max()), 4),
    }


def _features(encoder: Encoder, rows: list[tuple[str, str]]) -> Any:
    return normalize(encoder.embed([(text,) for text, _ in rows])[:, -1])


def tables(train: int, test: int) -> Iterator[dict[str, Any]]:
    """A row per set."""
    exact, half = (Encoder(find_base_model(), precision=precision) for precision in ("fp32", "bf16"))
    for name in ("banking77", "agnews"):
        yield compare(name, DATA / name, train, test, exact, half)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=200)
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    show("bf16 beside fp32", list(tables(args.train, args.test)), args.json)


if __name__ == "__main__":
    main()
