"""Hot swap under load: clients on /predict while versions are published, against the same load without swaps.

    python -m bench.latency.hot_swap [--clients 8] [--swaps 50] [--json]

Every swap is a label's: the webhook stores it, the learner refits and publishes, the web process loads and verifies the
files, warms up and exchanges one reference. The texts are known: after a swap their answers are computed anew from
cached features, without swaps they come from the cache of answers. Every reply is checked: one version only, and one
result per task.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import requests

from bench.support.report import judge, milliseconds, show
from tests.support.rig import Project, Rig, endless_rows, read_rows

TASKS = 4
"""Tasks a request: more than one, so that a reply could mix versions if the code allowed it."""


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


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = read_rows()
    stream = endless_rows(rows)
    with Rig() as rig:
        project = Project(rig, 7, sorted({label for _, label in rows}))
        project.setup()
        project.annotate_many(list(itertools.islice(stream, 64)))
        project.settle()
        known = [text for text, _ in itertools.islice(stream, 400)]
        project.predict(known)
        swapped, calm = Load(), Load()
        for swaps in (args.swaps // 2, args.swaps - args.swaps // 2):
            began = time.monotonic()
            work = functools.partial(publish_often, project, stream, swaps)
            swapped.add(under_load(project, itertools.cycle(known), args.clients, work))
            work = functools.partial(time.sleep, time.monotonic() - began)
            calm.add(under_load(project, itertools.cycle(known), args.clients, work))
    rows_out = [{"load": f"{args.swaps} swaps", **swapped.row()}, {"load": "no swaps", **calm.row()}]
    rows_out[0].update(judge(len(swapped.failures) + swapped.mixed, "<=", 0, "failed or mixed"))
    show(f"hot swap: {args.clients} clients on /predict, {TASKS} known tasks a request", rows_out, args.json)
    if swapped.failures or swapped.mixed:
        raise SystemExit(f"failures: {swapped.failures[:3]}, mixed replies: {swapped.mixed}")


if __name__ == "__main__":
    main()
