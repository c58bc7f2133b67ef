"""Chaos: the whole of `understudy up` while its processes, its Redis, its disk and Label Studio fail, and a checker.

    python -m bench.chaos.run --minutes 30 [--seed 1] [--redis embedded|tcp|both] [--rate 8] [--disk full|whole]
                          [--history DIR] [--report docs/reliability.md] [--json]

People label, correct, skip and delete in three projects; each change is delivered as Label Studio delivers it (once,
one second of patience, also late, twice or not at all); clients ask for predictions; fine-tunes run. A schedule that
depends on the seed alone kills processes with SIGKILL every five seconds and spoils the rest. Everything is recorded,
and the record is checked against the promises (bench/chaos/check/checker.py): exit status 1 when one broke.

Label Studio is a stand-in that holds the truth and serves the routes that a reconciliation calls: the real one is too
slow for so many changes. `--redis both` gives half of the time to the embedded server and half to a TCP one behind a
proxy. Filling the disk needs the right to mount an ext4 image; without it that fault is left out, and named as such.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.chaos.annotators import Annotators
from bench.chaos.check.checker import find_violations
from bench.chaos.check.history import History, read_history
from bench.chaos.check.report import Leg, show_legs, write_page
from bench.chaos.nemesis import Nemesis
from bench.chaos.observer import Observer
from bench.chaos.predict_clients import PredictClients
from bench.chaos.product import Product
from bench.chaos.recovery import settle
from bench.chaos.schedule import make_schedule
from bench.chaos.tcp_proxy import Proxy
from tests.support.label_studio_stub import TOKEN, LabelStudioStub, ReferenceModel
from tests.support.rig import Rig, endless_rows, read_rows

PROJECTS = [7, 8, 9]
SHORT = {
    "SCHEDULER_SECONDS": "1",
    "POLL_SECONDS": "1",
    "RESYNC_MINUTES": "2",
    "FINETUNE_ENABLED": "true",
    "FINETUNE_STEPS": "8",
    "FINETUNE_MINUTES": "2",
}
"""Settings that make things happen more often than in a normal life."""


def run_leg(path: Path, args: argparse.Namespace, redis: str, seconds: float, seed: int) -> dict[str, Any]:
    """One life of the product under fire; facts of the run. The history is in `path`."""
    rows = endless_rows(read_rows())
    truth = ReferenceModel(PROJECTS, sorted({label for _, label in read_rows()}))
    with contextlib.ExitStack() as stack:
        history = History(path)
        stack.callback(history.close)
        stand_in = stack.enter_context(LabelStudioStub(truth))
        api = stack.enter_context(Proxy(stand_in.port, seed))
        product = stack.enter_context(Product(redis, small_disk=args.disk == "full", api=api, token=TOKEN, **SHORT))
        rig = product.rig
        webhook = stack.enter_context(Proxy(rig.port, seed + 1))
        roads = {"webhook": webhook, "api": api}
        if product.redis_road:
            roads["redis"] = product.redis_road
        askers = PredictClients(truth, rows, history, rig.port, args.predicts / 2, 2)
        annotators = Annotators(truth, rows, history, webhook.port, rig.secret, args.rate, seed)
        witness = Observer(product, PROJECTS, history)
        nemesis = Nemesis(product, stand_in, roads, history, seed)
        faults = make_schedule(seed, seconds, redis_road="redis" in roads, disk=product.disk.exists)
        for part in (witness, annotators, askers):
            part.start()
        try:
            nemesis.run(faults)
        finally:
            annotators.stop()
            if not nemesis.failure:
                settle(product, truth, witness, history)
            askers.stop()
            witness.stop()
            if args.history:
                keep_logs(rig, args.history / f"logs-{redis}-{seed}")
        return {"redis": redis, "seed": seed, "seconds": round(seconds), "disk": product.disk.exists}


def keep_logs(rig: Rig, target: Path) -> None:
    """Copies the logs of all processes, to look for causes."""
    target.mkdir(parents=True, exist_ok=True)
    for log in [rig.log, *(rig.data_dir / "logs").glob("*.log*")]:
        if log.is_file():
            (target / log.name).write_bytes(log.read_bytes())


def plan(redis: str, seconds: float, seed: int) -> Iterator[tuple[str, float, int]]:
    """(Redis, seconds, seed) of each leg."""
    kinds = ("embedded", "tcp") if redis == "both" else (redis,)
    for number, kind in enumerate(kinds):
        yield kind, seconds / len(kinds), seed + number


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--redis", choices=["embedded", "tcp", "both"], default="embedded")
    parser.add_argument("--disk", choices=["full", "whole"], default="full")
    parser.add_argument("--rate", type=float, default=8.0, help="changes a second")
    parser.add_argument("--predicts", type=float, default=8.0, help="requests a second")
    parser.add_argument("--history", type=Path, help="keep histories and logs in this directory")
    parser.add_argument("--report", type=Path)
    parser.add_argument("--note", default="", help="a sentence for the report")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    # Whoever ends it early must not be left with a mounted disk and half a product.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    legs = []
    with tempfile.TemporaryDirectory(prefix="us-") as scratch:
        folder = args.history or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for redis, seconds, seed in plan(args.redis, 60 * args.minutes, args.seed):
            path = folder / f"history-{redis}-{seed}.jsonl"
            facts = run_leg(path, args, redis, seconds, seed)
            history = read_history(path)
            legs.append(Leg(facts, history, find_violations(history)))
    show_legs(legs, args.json)
    if args.report:
        write_page(args.report, legs, args.note)
    if violations := list(itertools.chain.from_iterable(leg.violations for leg in legs)):
        for violation in violations[:20]:
            print(json.dumps(violation.to_json())[:1500])
        raise SystemExit(f"{len(violations)} violations")


if __name__ == "__main__":
    main()
