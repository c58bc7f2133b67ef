"""Judges the advice: stop forecast, auto-accept dial and copying rate, against what real heads then did.

    python -m bench.advice.judge [--data DIR] [--sets agnews,sst2] [--seeds 3] [--replays 10] [--pool 4000]
        [--labels 1536]
                           [--copying-labels 1000,1536] [--blind .05,.2] [--priors] [--cache DIR] [--json]

Of each set and seed one random and one active order are followed (bench/support/replays.py); streams of
test-then-train rows are drawn from them. `bar` is the issue's; `share` of the replays in which it was met. With
--cache trajectories are kept for the next run.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.advice.copying_priors import judge_misses
from bench.advice.forecast_priors import judge_priors
from bench.advice.replays import judge_acceptance, judge_anchoring, judge_forecast
from bench.learning.curves import find_sets
from bench.support.replays import STAGES, Trajectory, follow
from bench.support.report import show
from model.encoder.encoder import Encoder, find_base_model
from model.features.cache import CachedEncoder, FeatureCache
from model.interfaces import Embedder

DATA = Path(__file__).parents[3] / "shared" / "data"
ORDERS = ("random", "margin_clusters")


def find_trajectories(args: argparse.Namespace, base: Embedder, cache: Path) -> Iterator[tuple[str, str, Trajectory]]:
    """(set, order, trajectory) of every set, order and seed."""
    stages = [count for count in STAGES if count <= args.labels]
    for name, data in find_sets(args.data, args.sets.split(",") if args.sets else ()).items():
        for seed in range(args.seeds):
            for order in ORDERS:
                path = cache / f"{name}-{order}-{seed}.npz"
                if not path.exists():
                    part = replace(data, train=data.train[: args.pool])
                    follow(part, order, seed, base, stages, tell=lambda text: None).save(path)
                yield name, order, Trajectory.load(path)


def run(args: argparse.Namespace, base: Embedder, cache: Path) -> Iterator[dict[str, Any]]:
    """The rows of all three judgements, or those of the priors."""
    found: dict[tuple[str, str], list[Trajectory]] = {}
    for name, order, trajectory in find_trajectories(args, base, cache):
        found.setdefault((name, order), []).append(trajectory)
    if args.priors:
        counts = [int(count) for count in args.copying_labels.split(",")]
        yield from judge_priors(found, args.replays)
        yield from judge_misses(found, args.replays, counts, [float(share) for share in args.blind.split(",")])
        return
    for (name, order), group in found.items():
        about = {"set": name, "order": order}
        yield from ({**about, **row} for row in judge_forecast(group, args.replays))
        yield from ({**about, **row} for row in judge_acceptance(group, args.replays))
        if order != "random":
            counts = [int(count) for count in args.copying_labels.split(",")]
            for blind in (float(share) for share in args.blind.split(",")):
                yield from ({**about, **row} for row in judge_anchoring(group, args.replays, counts, blind))


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--sets", default="", help="default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--replays", type=int, default=10)
    parser.add_argument("--pool", type=int, default=4000, help="rows of each set that are used")
    parser.add_argument("--labels", type=int, default=1536, help="labels that are followed")
    parser.add_argument("--copying-labels", default="1000,1536")
    parser.add_argument("--blind", default="0.05,0.2", help="blind shares that copying is judged with")
    parser.add_argument("--priors", action="store_true", help="only what has a prior, with that of the other sets")
    parser.add_argument("--cache", type=Path, help="where features and trajectories are kept")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cache = args.cache or Path(scratch)
        base = CachedEncoder(Encoder(find_base_model()), FeatureCache(cache / "features", 2048))
        show("advice against what came of it", list(run(args, base, cache)), args.json)


if __name__ == "__main__":
    main()
