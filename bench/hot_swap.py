"""Hot swap under load: clients on /predict while versions are published, against the same load without swaps.

    python -m bench.hot_swap [--clients 8] [--swaps 50] [--json]

Every swap is a label's: the webhook stores it, the learner refits and publishes, the web process loads and verifies the
files, warms up and exchanges one reference. Every reply is checked: one version only, and one result per task.
"""

from __future__ import annotations

import argparse
import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import requests

from bench.report import milliseconds, show
from bench.rig import Project, Rig, endless_rows, read_rows

TASKS = 4
"""Tasks a request: more than one, so that a reply could mix versions if the code allowed it."""


@dataclass
class Load:
    """What the clients saw."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    mixed: int = 0
    versions: set[str] = field(default_factory=set)


def run_client(project: Project, texts: list[str], load: Load, stop: threading.Event) -> None:
    """One client in a closed loop until `stop` is set."""
    session = requests.Session()
    for start in itertools.count():
        if stop.is_set():
            return
        batch = [texts[(start * TASKS + offset) % len(texts)] for offset in range(TASKS)]
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


def under_load(project: Project, texts: list[str], clients: int, work: Any) -> Load:
    """Run `work()` while `clients` clients predict; what they saw."""
    load, stop = Load(), threading.Event()
    threads = [
        threading.Thread(target=run_client, args=(project, texts[i::clients], load, stop)) for i in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        work()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return load


def publish_often(project: Project, stream: Iterator[tuple[str, str]], swaps: int) -> None:
    """Label one task after the other, each time waiting until /setup reports the version that learned it."""
    for text, label in itertools.islice(stream, swaps):
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
        texts = [text for text, _ in itertools.islice(stream, 400)]
        project.predict(texts)
        began = time.monotonic()
        swapped = under_load(project, texts, args.clients, lambda: publish_often(project, stream, args.swaps))
        duration = time.monotonic() - began
        calm = under_load(project, texts, args.clients, lambda: time.sleep(duration))
    rows_out = [
        {
            "load": name,
            "requests": len(load.seconds),
            "failures": len(load.failures),
            "mixed": load.mixed,
            "versions": len(load.versions),
            **milliseconds(load.seconds),
        }
        for name, load in ((f"{args.swaps} swaps", swapped), ("no swaps", calm))
    ]
    show(f"hot swap: {args.clients} clients on /predict, {TASKS} tasks a request", rows_out, args.json)
    if swapped.failures or swapped.mixed:
        raise SystemExit(f"failures: {swapped.failures[:3]}, mixed replies: {swapped.mixed}")


if __name__ == "__main__":
    main()
