"""What a hot swap costs: CPU from a version's files to a warm model, and what clients see while versions are swapped.

    python -m bench.latency.swap [--rounds 7] [--swaps 24] [--clients 4] [--no-http] [--no-bert] [--json]

In process: `load_version` (every digest verified) and one text, as the web process does it; every round has files of
its own, so that nothing is remembered. BERT-base is a random model of that shape with MiniLM's vocabulary. Over HTTP:
clients with new texts, so that each request costs the same with and without swaps; loads in turn, A B A B.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from backend.settings.settings import Settings
from bench.latency.hot_swap import Load, publish_often, under_load
from bench.support.checkpoints import VersionMaker, write_bert_base
from bench.support.report import judge, milliseconds, show
from tests.support.rig import Project, Rig, endless_rows, read_rows

BARS = {"MiniLM": 50.0, "BERT-base": 250.0}
"""CPU milliseconds from files to warm, for a machine with AVX-512."""

TIMES = 2.0
"""The p99 of predictions during swaps against that without."""

EVERY = 1.0
"""Seconds between two swaps over HTTP: faster than people label, and long enough for many requests in between."""


def measure_loads(name: str, base_model: str, rounds: int) -> list[dict[str, Any]]:
    """CPU milliseconds by stage, medians over `rounds`, of a head-only and of a fine-tuned version."""
    rows = read_rows()
    with tempfile.TemporaryDirectory(prefix="us-") as scratch:
        settings = Settings(data_dir=Path(scratch), base_model=base_model)  # type: ignore[call-arg]
        maker = VersionMaker(settings, 7, rows[:64])
        seen: dict[str, list[dict[str, float]]] = {"head only": [], "fine-tuned encoder": []}
        for number in range(1, rounds + 2):
            for kind, make in (("head only", maker.make_head), ("fine-tuned encoder", maker.make_tuned)):
                version = make(f"v0.{number}" if kind == "head only" else f"v{number}")
                seen[kind].append(_load(maker, version))
                maker.remove(version)
    return [_load_row(name, kind, stages[1:]) for kind, stages in seen.items()]  # the first loads libraries


def _load(maker: VersionMaker, version: str) -> dict[str, float]:
    """CPU milliseconds of each stage of one load."""
    from model.versions.live_model import load_version

    encoder = [0.0]

    def open_encoder(weights: Path) -> Any:
        began = time.process_time()
        opened = maker.encoders.open(weights)
        encoder[0] += time.process_time() - began
        return opened

    began = time.process_time()
    model = load_version(maker.settings.models_dir, maker.project, version, maker.encoders.base, open_encoder)
    loaded = time.process_time()
    model.warm()
    warm = time.process_time()
    stages = {"verify_heads": loaded - began - encoder[0], "encoder": encoder[0], "warm": warm - loaded}
    return {stage: seconds * 1000 for stage, seconds in {**stages, "total": warm - began}.items()}


def _load_row(name: str, kind: str, rounds: list[dict[str, float]]) -> dict[str, Any]:
    medians = {f"{stage}_ms": round(statistics.median(r[stage] for r in rounds), 1) for stage in rounds[0]}
    row = {"encoder": name, "version": kind, "n": len(rounds), **medians}
    return {**row, **judge(medians["total_ms"], "<=", BARS[name], "ms")}


def roll_back_often(project: Project, versions: list[str], swaps: int) -> None:
    """Make the versions live in turn by the admin API, each time waiting until /setup reports it; one in EVERY s."""
    due = time.monotonic()
    for version in itertools.islice(itertools.cycle(versions), swaps):
        time.sleep(max(0.0, due - time.monotonic()))
        due += EVERY
        project.rig.touch(project.number, version)
        project.rig.admin("POST", f"/projects/{project.number}/rollback", {"version": version})
        deadline = time.monotonic() + 60
        while project.setup() != version:
            if time.monotonic() > deadline:
                raise TimeoutError(f"60 s after the rollback {version} is not served")
            time.sleep(0.02)


def measure_http(swaps: int, clients: int) -> list[dict[str, Any]]:
    """Loads of clients with swaps and without, of fine-tuned encoders and of head refits."""
    rows = read_rows()
    stream = endless_rows(rows)
    texts = (text for text, _ in stream)
    with Rig() as rig:
        settings = Settings(data_dir=rig.data_dir)  # type: ignore[call-arg]
        project, refitted = (Project(rig, number, sorted({label for _, label in rows})) for number in (7, 8))
        maker = VersionMaker(settings, project.number, rows[:64])
        tuned = [maker.make_tuned(f"v{9001 + index}") for index in range(2)]
        maker.close()
        project.setup()
        roll_back_often(project, tuned, 2)
        refitted.setup()
        refitted.annotate_many(list(itertools.islice(stream, 64)))
        refitted.settle()
        half = max(1, swaps // 2)
        return [
            *compare("fine-tuned encoders", project, texts, clients, lambda: roll_back_often(project, tuned, half)),
            *compare("head refits", refitted, texts, clients, lambda: publish_often(refitted, stream, half, EVERY)),
        ]


def compare(
    name: str, project: Project, texts: Iterator[str], clients: int, swap: Callable[[], None]
) -> list[dict[str, Any]]:
    """Two rows: what clients saw during swaps, and without; each load ran twice, in turn."""
    swapped, calm = Load(), Load()
    for _ in range(2):
        began = time.monotonic()
        swapped.add(under_load(project, texts, clients, swap))
        duration = time.monotonic() - began
        calm.add(under_load(project, texts, clients, partial(time.sleep, duration)))
    rows = [{"swaps_of": name, "load": load, **seen.row()} for load, seen in (("swaps", swapped), ("none", calm))]
    ratio = milliseconds(swapped.seconds)["p99_ms"] / milliseconds(calm.seconds)["p99_ms"]
    rows[0].update(judge(round(ratio, 2), "<=", TIMES, "x p99 of none"))
    if swapped.failures or swapped.mixed:
        rows[0].update(met=False, first_failure=str(swapped.failures[:1]))
    return rows


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--swaps", type=int, default=24)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--no-http", action="store_true")
    parser.add_argument("--no-bert", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = measure_loads("MiniLM", "", args.rounds)
    if not args.no_bert:
        with tempfile.TemporaryDirectory(prefix="us-") as scratch:
            rows += measure_loads("BERT-base", str(write_bert_base(Path(scratch))), args.rounds)
    show("swap: CPU ms from files to warm, medians", rows, args.json)
    if not args.no_http:
        served = measure_http(args.swaps, args.clients)
        show(f"swap: {args.clients} clients on /predict with new texts", served, args.json)
        if any(row["failures"] or row["mixed"] for row in served):
            raise SystemExit("requests failed or mixed versions")


if __name__ == "__main__":
    main()
