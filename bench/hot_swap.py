"""What a hot swap costs: CPU from a version's files to a warm model, and what clients see while versions are swapped.

    python -m bench.hot_swap [--rounds 7] [--swaps 50] [--clients 8] [--no-http] [--no-bert] [--json]

In process: `load_version` (every digest verified) and one text, as the web process does it; every round has files of
its own, so that nothing is remembered. BERT-base is a random model of that shape with MiniLM's vocabulary.

Over HTTP, each load in turn with swaps and without, A B A B; every reply is checked: one version only, and one result
per task. Known texts: each swap is a label's, one after the other: the webhook stores it, the learner refits and
publishes, the web process loads and verifies the files, warms up and exchanges one reference. Answers are computed anew
from cached features then, without swaps they come from the cache of answers. New texts, so that each request costs the
same with and without swaps: half of the clients and of the swaps, at most one a second, of fine-tuned encoders and of
head refits.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import requests

from backend.settings.settings import Settings
from bench.support.fixtures import VersionMaker, write_bert_base
from bench.support.report import command, judge, milliseconds, show
from tests.support.rig import Project, Rig, endless_rows, read_rows

TASKS = 4
"""Tasks a request: more than one, so that a reply could mix versions if the code allowed it."""

BARS = {"MiniLM": 50.0, "BERT-base": 250.0}
"""CPU milliseconds from files to warm, for a machine with AVX-512."""

P99_RATIO_BAR = 2.0
"""The p99 of predictions during swaps against that without."""

SWAP_EVERY_SECONDS = 1.0
"""Seconds between two swaps over HTTP: faster than people label, and long enough for many requests in between."""


Row = dict[str, Any]
Stream = Iterator[tuple[str, str]]


@dataclass
class Load:
    """What the clients saw."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    mixed: int = 0
    versions: set[str] = field(default_factory=set)

    def add(self, other: Load) -> None:
        """Take in what another load saw."""
        self.seconds += other.seconds
        self.failures += other.failures
        self.mixed += other.mixed
        self.versions |= other.versions

    def row(self) -> dict[str, Any]:
        """As the tables show it."""
        counts = {"requests": len(self.seconds), "failures": len(self.failures), "mixed": self.mixed}
        return {**counts, "versions": len(self.versions), **milliseconds(self.seconds)}


class Shared(Iterator[str]):
    """An iterator that several threads take from."""

    def __init__(self, source: Iterator[str]) -> None:
        self._source, self._guard = source, threading.Lock()

    def __next__(self) -> str:
        with self._guard:
            return next(self._source)


def run_client(project: Project, texts: Iterator[str], load: Load, stop: threading.Event) -> None:
    """One client in a closed loop until `stop` is set."""
    session = requests.Session()
    while not stop.is_set():
        batch = list(itertools.islice(texts, TASKS))
        began = time.perf_counter()
        try:
            results = project.predict(batch, session=session)
        except (requests.RequestException, KeyError, ValueError) as error:
            load.failures.append(repr(error))
            continue
        load.seconds.append(time.perf_counter() - began)
        versions = {result["model_version"] for result in results if result}
        load.versions |= versions
        load.mixed += len(versions) != 1 or len(results) != TASKS


def under_load(project: Project, texts: Iterator[str], clients: int, work: Callable[[], None]) -> Load:
    """Run `work()` while `clients` clients predict what `texts` yields; what they saw."""
    load, stop, shared = Load(), threading.Event(), Shared(texts)
    threads = [threading.Thread(target=run_client, args=(project, shared, load, stop)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        work()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return load


def publish_often(project: Project, stream: Iterator[tuple[str, str]], swaps: int, every: float = 0.0) -> None:
    """Label one task after the other, each time waiting until /setup reports the version that learned it; at most one
    in `every` seconds."""
    due = time.monotonic()
    for text, label in itertools.islice(stream, swaps):
        time.sleep(max(0.0, due - time.monotonic()))
        due += every
        before, deadline = project.setup(), time.monotonic() + 60
        project.annotate(text, label)
        while project.setup() == before:
            if time.monotonic() > deadline:
                raise TimeoutError(f"60 s after a label {before} is still served")
            time.sleep(0.02)


def measure_loads(name: str, base_model: str, rounds: int) -> list[dict[str, Any]]:
    """CPU milliseconds by stage, medians over `rounds`, of a head-only and of a fine-tuned version."""
    rows = read_rows()
    with tempfile.TemporaryDirectory(prefix="us-") as scratch:
        settings = Settings(data_dir=Path(scratch), base_model=base_model)
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
    """Make the versions live in turn by the admin API, waiting until /setup reports each; one in SWAP_EVERY_SECONDS."""
    due = time.monotonic()
    for version in itertools.islice(itertools.cycle(versions), swaps):
        time.sleep(max(0.0, due - time.monotonic()))
        due += SWAP_EVERY_SECONDS
        project.rig.touch(project.number, version)
        project.rig.admin("POST", f"/projects/{project.number}/rollback", {"version": version})
        deadline = time.monotonic() + 60
        while project.setup() != version:
            if time.monotonic() > deadline:
                raise TimeoutError(f"60 s after the rollback {version} is not served")
            time.sleep(0.02)


def on_known_texts(rig: Rig, stream: Stream, swaps: int, clients: int) -> list[Row]:
    """As fast as labels are learned."""
    project = Project.learned(rig, 7, 64, stream)
    known = [text for text, _ in itertools.islice(stream, 400)]
    project.predict(known)
    half = max(1, swaps // 2)
    rows = compare(
        "head refits", project, itertools.cycle(known), clients, partial(publish_often, project, stream, half)
    )
    rows[0] |= judge(rows[0]["failures"] + rows[0]["mixed"], "<=", 0, "failed or mixed")
    return rows


def on_new_texts(rig: Rig, stream: Stream, swaps: int, clients: int) -> list[Row]:
    """One swap in SWAP_EVERY_SECONDS."""
    refitted = Project.learned(rig, 8, 64, stream)
    tuned = Project(rig, 9, refitted.labels)
    maker = VersionMaker(Settings(data_dir=rig.data_dir), tuned.number, read_rows()[:64])
    versions = [maker.make_tuned(f"v{9001 + index}") for index in range(2)]
    maker.close()
    tuned.setup()
    roll_back_often(tuned, versions, 2)
    texts, half = (text for text, _ in stream), max(1, swaps // 2)
    rows = []
    for name, project, swap in (
        ("fine-tuned encoders", tuned, partial(roll_back_often, tuned, versions, half)),
        ("head refits", refitted, partial(publish_often, refitted, stream, half, SWAP_EVERY_SECONDS)),
    ):
        swapped, calm = compare(name, project, texts, clients, swap)
        swapped |= judge(round(swapped["p99_ms"] / calm["p99_ms"], 2), "<=", P99_RATIO_BAR, "x p99 of none")
        swapped["met"] = swapped["met"] and not swapped["failures"] + swapped["mixed"]
        rows += [swapped, calm]
    return rows


def compare(name: str, project: Project, texts: Iterator[str], clients: int, swap: Callable[[], None]) -> list[Row]:
    """Two rows: what clients saw during swaps, and without; each load ran twice, in turn."""
    swapped, calm = Load(), Load()
    for _ in range(2):
        began = time.monotonic()
        swapped.add(under_load(project, texts, clients, swap))
        duration = time.monotonic() - began
        calm.add(under_load(project, texts, clients, partial(time.sleep, duration)))
    rows = [{"swaps_of": name, "load": load, **seen.row()} for load, seen in (("swaps", swapped), ("none", calm))]
    if swapped.failures:
        rows[0]["first_failure"] = str(swapped.failures[0])
    return rows


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--no-http", action="store_true")
    parser.add_argument("--no-bert", action="store_true")
    args = parser.parse_args()
    rows = measure_loads("MiniLM", "", args.rounds)
    if not args.no_bert:
        with tempfile.TemporaryDirectory(prefix="us-") as scratch:
            rows += measure_loads("BERT-base", str(write_bert_base(Path(scratch))), args.rounds)
    show("hot swap: CPU ms from files to warm, medians", rows, args.json)
    if args.no_http:
        return
    with Rig() as rig:
        stream, half = endless_rows(read_rows()), max(1, args.clients // 2)
        known = on_known_texts(rig, stream, args.swaps, args.clients)
        show(f"hot swap: {args.clients} clients on /predict, {TASKS} known tasks a request", known, args.json)
        new = on_new_texts(rig, stream, args.swaps // 2, half)
        show(f"hot swap: {half} clients on /predict, {TASKS} new tasks a request", new, args.json)
    if wrong := sum(row["failures"] + row["mixed"] for row in (*known, *new)):
        raise SystemExit(f"{wrong} requests failed or mixed versions")


if __name__ == "__main__":
    main()
