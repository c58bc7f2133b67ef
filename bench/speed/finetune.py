"""What a fine-tune costs: `transformers.Trainer` as HumanSignal's example calls it, beside the product's own loop.

    python -m bench.speed.finetune [--examples 256] [--epochs 3] [--held-out 300] [--seed 0]
        [--data ../shared/data/agnews]
                             [--variants trainer,all,half] [--formats] [--profile PICTURE] [--json]

Each variant learns the same rows of AG News (the sample messages when the folder is absent) with MiniLM, in a process
of its own on one thread. CPU seconds are that process's from texts to saved weights, libraries already imported and
the labels' features in the feature cache, where the learner leaves them. Tokens are real ones, without padding.
`--formats` runs what ships once more with each number format set by hand: auto should be the better one, within 5 %.
`--profile` draws where a step's time goes, with and without what a profile led to (model/training/packed_layer.py).
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.support.report import judge, judge_auto, show
from tests.support.rig import ROOT, SAMPLE

DATA = ROOT.parent / "shared" / "data" / "agnews"
VARIANTS = {
    "trainer": "transformers.Trainer, as the peer calls it",
    "all": "own loop, all layers learn",
    "half": "own loop, lower half frozen (ships)",
}
FORMATS = {"half": "auto", "half-fp32": "PRECISION=fp32", "half-bf16": "PRECISION=bf16"}
BARS = {"all": 5.0, "half": 12.0}
"""Times less CPU than the Trainer."""

Row = tuple[str, str]


def read_split(data: Path, name: str, seed: int, count: int) -> list[Row]:
    """The first `count` (text, label) rows of a split, shuffled by seed."""
    path = data / f"{name}.csv" if data.is_dir() else SAMPLE
    with path.open(newline="", encoding="utf-8") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file) if row.get("split", name) == name]
    return [rows[index] for index in np.random.default_rng(seed).permutation(len(rows))[:count]]


def arguments() -> argparse.ArgumentParser:
    """Of the bench, and of the process of one variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--held-out", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--base-model", default="")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--formats", action="store_true")
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", help=argparse.SUPPRESS)  # this process is the one of a variant
    return parser


def measure(variant: str, given: Sequence[str]) -> dict[str, Any]:
    """One variant in a process of its own; what it printed last. Raises RuntimeError."""
    from backend.settings.settings import child_environment

    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = child_environment(TOKENIZERS_PARALLELISM="false", **dict.fromkeys(names, "1"))
    command = [sys.executable, "-m", "bench.speed.finetune", *given, "--only", variant]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the variant {variant} failed: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def compare(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the table: the ratios to the Trainer and whether the bars are met, with the accuracy that it takes."""
    rows = []
    peer = found.get("trainer")
    for variant, facts in found.items():
        row = {"variant": VARIANTS[variant], **facts}
        if peer and variant in BARS:
            row["times_less_cpu"] = round(peer["cpu_s"] / facts["cpu_s"], 1)
            row |= judge(row["times_less_cpu"], ">=", BARS[variant], "x")
            row["met"] = row["met"] and facts["accuracy"] >= peer["accuracy"]
        rows.append(row)
    return rows


def explain(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Why a bar is missed."""
    peer, lines = rows[0], []
    for row in (row for row in rows if row.get("met") is False):
        if row["accuracy"] < peer["accuracy"]:
            lines.append(f"{row['variant']}: less accurate than the Trainer")
        share = 100 * row["products_s"] / row["cpu_s"]
        lines.append(
            f"{row['variant']}: {row['bar']} missed. {share:.0f} % of its CPU is matrix products of real tokens at the "
            f"core's best rate; nothing else at all would be {peer['cpu_s'] / row['products_s']:.1f}x"
        )
    if lines and all(row.get("precision") != "bf16" for row in rows):
        lines.append("bfloat16, where it is fast, would shorten the products of the own loop alone; here it is slower.")
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    """Command line entry."""
    given = list(sys.argv[1:] if argv is None else argv)
    args = arguments().parse_args(given)
    if args.only:
        from bench.speed.finetune_variants import run_variant

        print(json.dumps(run_variant(args.only, args)))
        return
    if args.profile:
        from bench.speed.finetune_profile import draw_profile

        show("where a step's time goes, wall ms a step", draw_profile(args, args.profile), args.json)
        return
    if args.formats:
        measured = {name: measure(name, given) for name in FORMATS}
        timed = measured["half"]["timed"]
        rows = [{"format": FORMATS[name], "cpu_s": facts["cpu_s"]} for name, facts in measured.items()]
        rows[0] |= {"chosen": measured["half"]["precision"]} | judge_auto(rows)
        show(f"a fine-tune by number format; as timed at the start: {timed}", rows, args.json)
        return
    found = {variant: measure(variant, given) for variant in args.variants.split(",")}
    timed = [facts.pop("timed") for facts in found.values()]
    rows = compare(found)
    show(f"a fine-tune on {args.examples} examples, {args.epochs} epochs, MiniLM", rows, args.json)
    for line in [f"PRECISION=auto, as timed: {timed[-1]}", *explain(rows)] if not args.json else ():
        print(line)


if __name__ == "__main__":
    main()
