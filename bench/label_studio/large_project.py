"""What steering a large project costs Label Studio: sampling the pool, writing a batch in bulk and one by one.

    python -m bench.label_studio.large_project [--tasks 1000,10000,100000] [--batch 64] [--flag] [--product] [--json]

Starts a Label Studio 1.23.2 (installed under .label-studio at first) with one project that grows. `deciles`: tenths of
the project, by id, that the sample of 4,000 has tasks of. `bulk s`: its message where Label Studio refuses. `next`: its
own answer to who asks for a task of the queue; `next by link`: in the order of the queue; `list`: the Data Manager's
first page, without an order and by score. --flag: Label Studio counts only what is imported
(MEMORY_EFFICIENT_IMPORT in its environment). --product: `understudy up` on the project at its largest, from connecting
it to the second queue (bench/label_studio/large_project_run.py).
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

from backend.errors import LabelStudioError
from backend.jobs.task_queue.stream_order import QUEUE_ORDER
from backend.labelstudio.local.server import LabelStudioServer
from backend.labelstudio.rest.client import MEMORY_EFFICIENT_IMPORT
from backend.labelstudio.rest.project_connection import SAMPLING
from backend.labelstudio.rest.queue_client import QueueClient
from bench.label_studio.large_project_run import use_product
from bench.support.report import show
from tests.support.rig import ROOT, choices_config, endless_rows, read_rows

IMPORTED = 5000
"""Tasks that are imported by one call."""

SAMPLE = 4000
ONE_BY_ONE, ASKED = 8, 5


NO_FILTERS = {"conjunction": "and", "items": list[Any]()}


class Asker:
    """An annotator who looks at the next task and never labels it."""

    def __init__(self, server: LabelStudioServer, project: int) -> None:
        self._url = f"{server.url}/api/projects/{project}/next"
        self._stream = f"{server.url}/api/dm/actions?id=next_task&project={project}"
        self._list = f"{server.url}/api/tasks?project={project}&page_size=30"
        self._headers = {"Authorization": f"Token {server.legacy_token}"}

    def ask(self) -> float:
        """Seconds of Label Studio's answer. Raises requests.HTTPError."""
        began = time.perf_counter()
        requests.get(self._url, headers=self._headers, timeout=120).raise_for_status()
        return time.perf_counter() - began

    def ask_by_link(self) -> float:
        """The same for one who has opened the label stream by a link, in the order of the queue."""
        began = time.perf_counter()
        body = {"ordering": QUEUE_ORDER, "selectedItems": {"all": False, "included": []}, "filters": NO_FILTERS}
        requests.post(self._stream, json=body, headers=self._headers, timeout=120).raise_for_status()
        return time.perf_counter() - began

    def open_list(self, ordering: Sequence[str]) -> float:
        """Seconds of the Data Manager's first page."""
        began = time.perf_counter()
        query = json.dumps({"ordering": list(ordering), "filters": NO_FILTERS})
        requests.get(f"{self._list}&query={query}", headers=self._headers, timeout=120).raise_for_status()
        return time.perf_counter() - began


@dataclass
class Large:
    """What was made: the project, its tasks' ids, and text -> label."""

    project: int = 0
    ids: list[int] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)


def measure(server: LabelStudioServer, large: Large, sizes: list[int], batch: int) -> Iterator[dict[str, Any]]:
    """A row per size."""
    sample = read_rows()
    rows, names = endless_rows(sample), sorted({label for _, label in sample})
    ids = large.ids
    with QueueClient(server.url, server.access_token) as client:
        large.project = project = int(client.create_project("large", choices_config(names))["id"])
        client.set_project(project, sampling=SAMPLING)
        asker = Asker(server, project)
        for size in sizes:
            began = time.perf_counter()
            while len(ids) < size:
                some = list(itertools.islice(rows, min(IMPORTED, size - len(ids))))
                large.labels.update(some)
                ids += client.import_tasks(project, [{"data": {"text": text}} for text, _ in some])
            row: dict[str, Any] = {"tasks": size, "import s": _since(began)}
            yield row | _sample(client, project, ids) | _write(client, asker, project, ids[-batch:], names[0])


def _sample(client: QueueClient, project: int, ids: list[int]) -> dict[str, Any]:
    began = time.perf_counter()
    client.count_without_annotation(project)
    counted, began = _since(began), time.perf_counter()
    found = {int(task["id"]) for task in client.sample_without_annotation(project, min(SAMPLE, len(ids)))}
    tenths = {10 * place // len(ids) for place, task in enumerate(ids) if task in found}
    return {"count s": counted, "sample s": _since(began), "sampled": len(found), "deciles": len(tenths)}


def _write(client: QueueClient, asker: Asker, project: int, batch: list[int], label: str) -> dict[str, Any]:
    result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]
    began = time.perf_counter()
    rows = [{"task": task, "result": result, "score": 0.5, "model_version": "bulk"} for task in batch]
    bulk: float | str
    try:
        client.import_predictions(project, rows)
        bulk = _since(began)
    except LabelStudioError as error:
        bulk = error.message
    began = time.perf_counter()
    for task in batch[:ONE_BY_ONE]:
        client.create_prediction(task, result, 0.5, "queue", 1)
    single = (time.perf_counter() - began) / ONE_BY_ONE
    client.set_project(project, model_version="queue")
    asked = statistics.median(asker.ask() for _ in range(ASKED))
    linked = statistics.median(asker.ask_by_link() for _ in range(ASKED))
    listed = [statistics.median(asker.open_list(order) for _ in range(ASKED)) for order in ([], QUEUE_ORDER)]
    began = time.perf_counter()
    client.delete_predictions(project, "queue")
    deleted = _since(began)
    client.delete_predictions(project, "bulk")
    return {
        "bulk s": bulk,
        "one by one s": round(single * len(batch), 2),
        "delete s": deleted,
        "next s": round(asked, 2),
        "next by link s": round(linked, 2),
        "list s": round(listed[0], 2),
        "list by score s": round(listed[1], 2),
    }


def _since(began: float) -> float:
    return round(time.perf_counter() - began, 2)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="1000,10000,100000")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--flag", action="store_true")
    parser.add_argument("--product", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    environment = {MEMORY_EFFICIENT_IMPORT: "true"} if given.flag else {}
    sizes = [int(size) for size in given.tasks.split(",")]
    with LabelStudioServer(ROOT / ".label-studio", environment=environment) as server:
        large = Large()
        show("steering a large project", list(measure(server, large, sizes, given.batch)), given.json)
        if given.product:
            show("understudy on it", list(use_product(server, large.project, large.labels)), given.json)


if __name__ == "__main__":
    main()
