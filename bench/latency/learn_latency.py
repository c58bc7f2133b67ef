"""From the reply to an annotation's webhook until `/setup` reports a new version and `/predict` answers with it.

    python -m bench.latency.learn_latency [--labels 16,64,256,1000] [--repeats 30] [--json]

The whole product runs (`understudy up`): web, learner, trainer, sync, scheduler and an embedded Redis with
appendfsync always. 8 classes, the packaged MiniLM, every text was predicted before it is labelled, as in Label Studio.
"""

from __future__ import annotations

import argparse
import itertools
import time
from typing import Any

from bench.support.report import milliseconds, show
from tests.support.rig import Project, Rig, endless_rows, read_rows


def measure(rig: Rig, number: int, labels: int, repeats: int) -> dict[str, Any]:
    """Latencies of `repeats` single annotations in a project that already holds `labels` labels."""
    rows = read_rows()
    stream = endless_rows(rows)
    project = Project(rig, number, sorted({label for _, label in rows}))
    project.setup()
    project.annotate_many(list(itertools.islice(stream, labels)))
    project.settle()
    seconds = [one_annotation(project, text, label) for text, label in itertools.islice(stream, repeats)]
    return {"labels": labels, **milliseconds(seconds)}


def one_annotation(project: Project, text: str, label: str, limit: float = 30.0) -> float:
    """Seconds from the webhook's reply until a reply of /predict carries a version newer than before."""
    project.predict([text])
    before = project.setup()
    project.annotate(text, label)
    began = time.perf_counter()
    while project.setup() == before:
        if time.perf_counter() - began > limit:
            raise TimeoutError(f"no new version after {limit} s; still {before}")
        time.sleep(0.005)
    reply = project.predict([text])[0]
    elapsed = time.perf_counter() - began
    if reply["model_version"] == before:
        raise AssertionError("/setup reported a new version but /predict answered with the old one")
    project.settle(quiet=0.5)
    return elapsed


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", default="16,64,256,1000")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with Rig() as rig:
        counts = [int(count) for count in args.labels.split(",")]
        rows = [measure(rig, 100 + index, count, args.repeats) for index, count in enumerate(counts)]
    show("learn latency: webhook reply -> new version in /setup and /predict", rows, args.json)


if __name__ == "__main__":
    main()
