"""How soon a label counts, and what an annotator waits for on our side between Submit and the next task.

    python -m bench.learn_latency [--labels 16,64,256,1000] [--repeats 30] [--json]
    python -m bench.learn_latency --next-task [--labels 64,1000] [--pool 4000] [--repeats 200] [--json]
    python -m bench.learn_latency --spans [--next-task] [--labels 16,64,256,1000] [--repeats 30] [--json]

The whole product runs (`understudy up`): web, learner, trainer, sync, scheduler and an embedded Redis with
appendfsync always. 8 classes, the packaged MiniLM.

The first: from the reply to an annotation's webhook until `/setup` reports a new version and `/predict` answers with
it. Every text was predicted before it is labelled, as in Label Studio.

`--next-task`: Label Studio answers a Submit after our reply to the webhook, and the next task after our replies to
/setup and /predict (its own part, a third of a second or more, is not in it). Each label refits the head while the next
task is asked for; a plan of the queue is asked for after every eighth, as the policy does at the soonest.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

from backend.settings.settings import Settings
from backend.store.stores import Stores
from bench.support.report import command, judge, milliseconds, numbers, show
from tests.support.marked_project import MarkedProject, kind_of
from tests.support.rig import Project, Rig

LEARNED_SECONDS = 30.0
BAR_MS = 300
PLANNED_EVERY = 8
PACE_SECONDS = 1.0
"""From one Submit to the next: a quick annotator."""

Row = dict[str, Any]


SPANS_BARS_MS = {64: 1000.0, 1000: 2000.0}
"""Texts with spans that are known -> milliseconds within which the next one is learned."""


def measure_learning(rig: Rig, number: int, labels: int, repeats: int, kind: type[Project] = Project) -> Row:
    """Latencies of `repeats` single annotations in a project that already holds `labels` labels."""
    stream = kind.stream()
    project = kind.learned(rig, number, labels, stream)
    seconds = [label_to_version(project, text, label) for text, label in itertools.islice(stream, repeats)]
    found = {"labels": labels, **milliseconds(seconds)}
    if kind is MarkedProject:
        found["learner_mb"] = rig.memory_mb().get("learner", 0)
        if (bar := next((ms for most, ms in sorted(SPANS_BARS_MS.items()) if labels <= most), None)) is not None:
            found |= judge(found["p50_ms"], "<=", bar, "ms p50")
    return found


def label_to_version(project: Project, text: str, label: Any) -> float:
    """Seconds from the webhook's reply until a reply of /predict carries a version newer than before."""
    project.predict([text])
    before = project.setup()
    project.annotate(text, label)
    began = time.perf_counter()
    while project.setup() == before:
        if time.perf_counter() - began > LEARNED_SECONDS:
            raise TimeoutError(f"no new version after {LEARNED_SECONDS} s; still {before}")
        time.sleep(0.005)
    reply = project.predict([text])[0]
    elapsed = time.perf_counter() - began
    if reply["model_version"] == before:
        raise AssertionError("/setup reported a new version but /predict answered with the old one")
    project.settle(quiet=0.5)
    return elapsed


def measure_next_task(
    rig: Rig, stores: Stores, number: int, labels: int, pool: int, repeats: int, kind: type[Project] = Project
) -> Row:
    """Latencies of one project that holds `labels` labels and `pool` unlabelled texts."""
    stream, source = kind.stream(), "text.page" if kind is MarkedProject else "text"
    texts = [text for text, _ in itertools.islice(stream, pool)]
    project = kind.of_sample(rig, number)
    project.setup()
    stores.projects.add_pool(number, {10_000_000 + row: {source: text} for row, text in enumerate(texts)}, pool)
    project.annotate_many(list(itertools.islice(stream, labels)))
    project.settle()
    read_all(stores, number, pool)
    seconds, plans, began = [], 0, time.monotonic()
    for turn, (text, label) in enumerate(itertools.islice(stream, repeats)):
        time.sleep(max(0.0, began + turn * PACE_SECONDS - time.monotonic()))
        if turn % PLANNED_EVERY == 0:
            plans += stores.task_queue.enqueue_plan(number)
        seconds.append(submit_to_next(project, text, label))
    found = milliseconds(seconds)
    return {"labels": labels, "pool": pool, "plans": plans, **found, **judge(found["p99_ms"], "<=", BAR_MS, "ms")}


def read_all(stores: Stores, number: int, pool: int, limit: float = 600.0) -> None:
    """Plans until every text has been read: from then on a plan reads the feature cache alone."""
    until = time.monotonic() + limit
    while stores.task_queue.plan(number).get("rows") != pool:
        stores.task_queue.enqueue_plan(number)
        if time.monotonic() > until:
            raise TimeoutError(f"the pool was not read in {limit:.0f} s")
        time.sleep(0.5)


def submit_to_next(project: Project, text: str, label: Any) -> float:
    """Seconds of a webhook, a /setup and the /predict of another task."""
    began = time.perf_counter()
    project.annotate(text, label)
    project.setup()
    project.predict([f"{text} {began}"])  # a text that nobody has read yet
    return time.perf_counter() - began


def next_tasks(rig: Rig, labels: list[int], pool: int, repeats: int, kind: type[Project]) -> Iterator[Row]:
    """A row per number of labels."""
    stores = Stores(Settings(data_dir=rig.data_dir, redis_url=""))
    for index, count in enumerate(labels):
        yield measure_next_task(rig, stores, 200 + index, count, pool, repeats, kind)


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    parser.add_argument("--next-task", action="store_true")
    parser.add_argument("--spans", action="store_true")
    parser.add_argument("--labels", type=numbers)
    parser.add_argument("--pool", type=int, default=4000)
    parser.add_argument("--repeats", type=int)
    args = parser.parse_args()
    kind, of_spans = kind_of(args.spans), ", spans" if args.spans else ""
    with Rig() as rig:
        if args.next_task:
            rows = list(next_tasks(rig, args.labels or [64, 1000], args.pool, args.repeats or 200, kind))
            title = "an annotator's wait on our side, Submit -> next task, while the queue is planned"
            show(f"{title}{of_spans}", rows, args.json)
            return
        counts = enumerate(args.labels or [16, 64, 256, 1000])
        rows = [measure_learning(rig, 100 + index, count, args.repeats or 30, kind) for index, count in counts]
    show(f"learn latency: webhook reply -> new version in /setup and /predict{of_spans}", rows, args.json)


if __name__ == "__main__":
    main()
