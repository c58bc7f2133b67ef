"""What an annotator waits for on our side between Submit and the next task, while the queue is planned again and again.

    python -m bench.latency.next_task [--labels 64,1000] [--pool 4000] [--repeats 200] [--json]

Label Studio answers a Submit after our reply to the webhook, and the next task after our replies to /setup and /predict
(its own part, a third of a second or more, is not in it). Each label refits the head while the next task is asked for;
a plan of the queue is asked for after every eighth, as the policy does at the soonest.
"""

from __future__ import annotations

import argparse
import itertools
import time
from typing import Any

from backend.settings.settings import Settings
from backend.store.stores import Stores
from bench.support.report import judge, milliseconds, show
from tests.support.rig import Project, Rig, endless_rows, read_rows

BAR_MS = 300
PLANNED_EVERY = 8
PACE_SECONDS = 1.0
"""From one Submit to the next: a quick annotator."""


def measure(rig: Rig, stores: Stores, number: int, labels: int, pool: int, repeats: int) -> dict[str, Any]:
    """Latencies of one project that holds `labels` labels and `pool` unlabelled texts."""
    stream = endless_rows(read_rows())
    project = Project(rig, number, sorted({label for _, label in read_rows()}))
    project.setup()
    texts = [text for text, _ in itertools.islice(stream, pool)]
    stores.projects.add_pool(number, {10_000_000 + row: {"text": text} for row, text in enumerate(texts)}, pool)
    project.annotate_many(list(itertools.islice(stream, labels)))
    project.settle()
    read_all(stores, number, pool)
    seconds, plans, began = [], 0, time.monotonic()
    for turn, (text, label) in enumerate(itertools.islice(stream, repeats)):
        time.sleep(max(0.0, began + turn * PACE_SECONDS - time.monotonic()))
        if turn % PLANNED_EVERY == 0:
            plans += stores.task_queue.ask_plan(number)
        seconds.append(one_task(project, text, label))
    found = milliseconds(seconds)
    return {"labels": labels, "pool": pool, "plans": plans, **found, **judge(found["p99_ms"], "<=", BAR_MS, "ms")}


def read_all(stores: Stores, number: int, pool: int, limit: float = 600.0) -> None:
    """Plans until every text has been read: from then on a plan reads the feature cache alone."""
    until = time.monotonic() + limit
    while stores.task_queue.plan(number).get("rows") != pool:
        stores.task_queue.ask_plan(number)
        if time.monotonic() > until:
            raise TimeoutError(f"the pool was not read in {limit:.0f} s")
        time.sleep(0.5)


def one_task(project: Project, text: str, label: str) -> float:
    """Seconds of a webhook, a /setup and the /predict of another task."""
    began = time.perf_counter()
    project.annotate(text, label)
    project.setup()
    project.predict([f"{text} {began}"])  # a text that nobody has read yet
    return time.perf_counter() - began


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", default="64,1000")
    parser.add_argument("--pool", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with Rig(FINETUNE_ENABLED="false") as rig:
        stores = Stores(Settings(data_dir=rig.data_dir, redis_url=""))
        counts = [int(count) for count in args.labels.split(",")]
        rows = [measure(rig, stores, 200 + index, count, args.pool, args.repeats) for index, count in enumerate(counts)]
    show("an annotator's wait on our side, Submit -> next task, while the queue is planned", rows, args.json)


if __name__ == "__main__":
    main()
