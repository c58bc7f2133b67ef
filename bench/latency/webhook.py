"""Durable webhook: latency of single events and events per second with AOF always, idle and during a fine-tune.

python -m bench.latency.webhook [--events 300] [--clients 8] [--json]
"""

from __future__ import annotations

import argparse
import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.support.report import milliseconds, show
from tests.support.rig import Project, Rig, endless_rows, read_rows


def timed_annotation(project: Project, row: tuple[str, str]) -> float:
    """Seconds of one acknowledged annotation webhook."""
    pair = project.annotation(*row)
    began = time.perf_counter()
    project.rig.webhook(project.event("ANNOTATION_CREATED", **pair))
    return time.perf_counter() - began


def measure(project: Project, rows: list[tuple[str, str]], clients: int) -> dict[str, Any]:
    """Latency percentiles and rate of the rows sent by `clients` concurrent connections."""
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        seconds = list(pool.map(lambda row: timed_annotation(project, row), rows))
    rate = len(rows) / (time.perf_counter() - began)
    return {"clients": clients, **milliseconds(seconds), "per_s": round(rate)}


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=300)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = read_rows()
    stream = endless_rows(rows)
    results = []
    with Rig() as rig:
        project = Project(rig, 7, sorted({label for _, label in rows}))
        project.setup()
        project.annotate_many(list(itertools.islice(stream, 128)))
        project.settle()
        for clients in (1, args.clients):
            batch = list(itertools.islice(stream, args.events))
            results.append({"while": "refits only", **measure(project, batch, clients)})
        project.settle()
        began = time.perf_counter()
        job = rig.webhook(project.event("START_TRAINING"))["job"]
        results.append({"while": "Start Training", "clients": 1, **milliseconds([time.perf_counter() - began])})
        while rig.admin("GET", f"/jobs/{job}").get("status") == "queued":
            time.sleep(0.1)
        time.sleep(3)  # the trainer has imported torch and runs its first steps
        for clients in (1, args.clients):
            batch = list(itertools.islice(stream, args.events))
            results.append({"while": "fine-tune", **measure(project, batch, clients)})
        rig.admin("POST", f"/jobs/{job}/cancel", {})
    show("webhook, appendfsync always", results, args.json)


if __name__ == "__main__":
    main()
