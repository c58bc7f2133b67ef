"""What steering a large project costs Label Studio: sampling the pool, writing a batch in bulk and one by one.

    python -m bench.large_project [--tasks 1000,10000,100000] [--batch 64] [--flag] [--product] [--json]
    python -m bench.large_project --predict [--spans] [--tasks 2000] [--share 1.0] [--flag] [--json]

Starts a Label Studio 1.23.2 (installed under .label-studio at first) with one project that grows. `deciles`: tenths of
the project, by id, that the sample of 4,000 has tasks of. `bulk s`: its message where Label Studio refuses. `next`: its
own answer to who asks for a task of the queue; `next by link`: in the order of the queue; `list`: the Data Manager's
first page, without an order and by score. --flag: Label Studio counts only what is imported
(MEMORY_EFFICIENT_IMPORT in its environment). --product: `understudy up` on the project at its largest, from connecting
it to the second queue.

--predict: tasks a second of `understudy predict PROJECT` instead, on `understudy up` and sample messages made distinct.
The command runs twice: the second run finds every prediction there. `label_studio` is the share of its listing and
importing in the time worked. --share: PREDICT_SHARE. --spans: sentences of a project that marks text, which has learned
LEARNED of them. `stored`, `kb`: predictions of versions in Label Studio's database after the run, and the kilobytes of
their results; what was `dropped` is missing there. `sync_mb`, `web_mb`: the most memory of the process that lists, asks
and writes, and of the one that answers.
"""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from backend.errors import LabelStudioError
from backend.jobs.task_queue.stream_order import QUEUE_ORDER
from backend.labelstudio.local.server import LabelStudioServer
from backend.labelstudio.rest.client import LabelStudioClient
from backend.labelstudio.rest.predictions import MEMORY_EFFICIENT_IMPORT
from backend.labelstudio.rest.project_connection import SAMPLING
from backend.settings.settings import Settings
from backend.store.stores import Stores
from bench.support.report import LIST_OF_COUNTS, command, show
from tests.support.marked_project import kind_of
from tests.support.rig import ROOT, Project, Rig, choices_config, endless_rows, read_rows

IMPORTED = 5000
"""Tasks that are imported by one call."""

SAMPLE = 4000
ONE_BY_ONE, ASKED = 8, 5

LABELS = 24
"""Labels that are given, to whatever Label Studio hands out next."""

LABEL_EVERY_SECONDS = 1.0
"""Seconds between two labels."""

LEAD_SECONDS = 30.0
WAIT_SECONDS = 1800.0

LEARNED = 64
"""Texts of a project that marks text, imported with what is marked in them."""

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
        began = time.monotonic()
        requests.get(self._url, headers=self._headers, timeout=120).raise_for_status()
        return time.monotonic() - began

    def ask_by_link(self) -> float:
        """The same for one who has opened the label stream by a link, in the order of the queue."""
        began = time.monotonic()
        body = {"ordering": QUEUE_ORDER, "selectedItems": {"all": False, "included": []}, "filters": NO_FILTERS}
        requests.post(self._stream, json=body, headers=self._headers, timeout=120).raise_for_status()
        return time.monotonic() - began

    def open_list(self, ordering: Sequence[str]) -> float:
        """Seconds of the Data Manager's first page."""
        began = time.monotonic()
        query = json.dumps({"ordering": list(ordering), "filters": NO_FILTERS})
        requests.get(f"{self._list}&query={query}", headers=self._headers, timeout=120).raise_for_status()
        return time.monotonic() - began


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
    with LabelStudioClient(server.url, server.access_token) as client:
        large.project = project = int(client.create_project("large", choices_config(names))["id"])
        client.set_project(project, sampling=SAMPLING)
        asker = Asker(server, project)
        for size in sizes:
            began = time.monotonic()
            while len(ids) < size:
                some = list(itertools.islice(rows, min(IMPORTED, size - len(ids))))
                large.labels.update(some)
                ids += client.tasks.add(project, [{"data": {"text": text}} for text, _ in some])
            row: dict[str, Any] = {"tasks": size, "import s": _since(began)}
            yield row | _sample(client, project, ids) | _write(client, asker, project, ids[-batch:], names[0])


def _sample(client: LabelStudioClient, project: int, ids: list[int]) -> dict[str, Any]:
    began = time.monotonic()
    client.tasks.count_unanswered(project)
    counted, began = _since(began), time.monotonic()
    found = {int(task["id"]) for task in client.tasks.sample_unanswered(project, min(SAMPLE, len(ids)))}
    tenths = {10 * place // len(ids) for place, task in enumerate(ids) if task in found}
    return {"count s": counted, "sample s": _since(began), "sampled": len(found), "deciles": len(tenths)}


def _write(client: LabelStudioClient, asker: Asker, project: int, batch: list[int], label: str) -> dict[str, Any]:
    result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]
    began = time.monotonic()
    rows = [{"task": task, "result": result, "score": 0.5, "model_version": "bulk"} for task in batch]
    bulk: float | str
    try:
        client.predictions.add_many(project, rows)
        bulk = _since(began)
    except LabelStudioError as error:
        bulk = error.message
    began = time.monotonic()
    for task in batch[:ONE_BY_ONE]:
        client.predictions.add(task, result, 0.5, "queue", 1)
    single = (time.monotonic() - began) / ONE_BY_ONE
    client.set_project(project, model_version="queue")
    asked = statistics.median(asker.ask() for _ in range(ASKED))
    linked = statistics.median(asker.ask_by_link() for _ in range(ASKED))
    listed = [statistics.median(asker.open_list(order) for _ in range(ASKED)) for order in ([], QUEUE_ORDER)]
    began = time.monotonic()
    client.predictions.delete(project, "queue")
    deleted = _since(began)
    client.predictions.delete(project, "bulk")
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
    return round(time.monotonic() - began, 2)


def use_product(server: LabelStudioServer, project: int, labels: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """A row per step. `labels`: text -> label. Raises TimeoutError, requests.HTTPError, CalledProcessError."""
    rig = Rig(LABEL_STUDIO_URL=server.url, LABEL_STUDIO_API_KEY=server.access_token)
    with rig:
        began = time.monotonic()
        _connect(rig, project)
        yield {"step": "connect", "s": _since(began)}
        stores = Stores(Settings(data_dir=rig.data_dir, redis_url=""))
        try:
            yield from _label(server, rig, stores, project, labels, began)
        finally:
            stores.close()


def _label(
    server: LabelStudioServer, rig: Rig, stores: Stores, project: int, labels: Mapping[str, str], began: float
) -> Iterator[dict[str, Any]]:
    first = _wait(lambda: stores.task_queue.state(project).get("version"))
    state = stores.task_queue.state(project)
    yield {"step": "first queue, since connecting", "s": _since(began), "open": state["open"], "of": state["rows"]}
    session = requests.Session()
    session.headers["Authorization"] = f"Token {server.legacy_token}"
    asked, chosen, batch = [], 0, _batch(stores, project)
    for _ in range(LABELS):
        start = time.monotonic()
        reply = session.get(f"{server.url}/api/projects/{project}/next", timeout=120)
        reply.raise_for_status()
        asked.append(time.monotonic() - start)
        task = reply.json()
        batch |= _batch(stores, project)
        chosen += task["id"] in batch
        choice = {"choices": [labels[task["data"]["text"]]]}
        result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": choice}]
        body = {"result": result, "lead_time": LEAD_SECONDS}
        session.post(f"{server.url}/api/tasks/{task['id']}/annotations/", json=body, timeout=120).raise_for_status()
        time.sleep(LABEL_EVERY_SECONDS)
    row = {"step": f"{LABELS} labels, next task (median)", "s": round(statistics.median(asked), 2)}
    yield {**row, "most s": round(max(asked), 2), "chosen": chosen, "of": LABELS}
    began = time.monotonic()
    _wait(lambda: stores.task_queue.state(project)["version"] != first)
    yield {"step": "another queue, since the last label", "s": _since(began)}
    began, before = time.monotonic(), rig.admin("GET", f"/projects/{project}")["last_sync"].get("ok_at")
    rig.admin("POST", f"/projects/{project}/resync", {})
    _wait(lambda: rig.admin("GET", f"/projects/{project}")["last_sync"].get("ok_at") != before)
    yield {"step": "reconciliation", "s": _since(began)}


def _connect(rig: Rig, project: int) -> None:
    command = [sys.executable, "-m", "backend", "connect", "--project", str(project)]
    environment = {**os.environ, **rig.environment}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)


def _batch(stores: Stores, project: int) -> set[int]:
    return {entry["task"] for entry in stores.task_queue.plan(project).get("entries", ())}


def _wait(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing after {WAIT_SECONDS:.0f} s")
        time.sleep(0.2)
    return found


def predict_twice(server: LabelStudioServer, tasks: int, share: float, spans: bool) -> list[dict[str, Any]]:
    """A row for the first run, and one for the run that finds all of it there."""
    rig = Rig(
        LABEL_STUDIO_URL=server.url,
        LABEL_STUDIO_API_KEY=server.access_token,
        PREDICT_SHARE=str(share),
        QUEUE_BLIND_SHARE="0",
    )
    kind = kind_of(spans)
    with rig, LabelStudioClient(server.url, server.access_token) as client:
        sample, stream = kind.of_sample(rig, 0), kind.stream()
        project = int(client.create_project("bench", sample.config)["id"])
        made = kind(rig, project, sample.labels)
        known = [(text, marks) for text, marks in itertools.islice(stream, LEARNED if spans else 0)]
        if known:
            results = [{"result": made.result_of(*row), "ground_truth": False} for row in known]
            rows = zip(known, results, strict=True)
            client.tasks.add(project, [{"data": {"text": text}, "annotations": [own]} for (text, _), own in rows])
        chosen = [text for text, _ in itertools.islice(stream, tasks)]
        for start in range(0, tasks, IMPORTED):
            client.tasks.add(project, [{"data": {"text": text}} for text in chosen[start : start + IMPORTED]])
        settle_project(rig, made)
        database = server.data_dir / "label_studio.sqlite3"
        return [
            run_prediction(rig, project, name) | stored_in(database, project) for name in ("first run", "all there")
        ]


def stored_in(database: Path, project: int) -> dict[str, Any]:
    """How many predictions of versions Label Studio has, and the kilobytes of their results."""
    asked = "select count(*), coalesce(sum(length(result)), 0) from prediction"
    asked += " where project_id = ? and model_version like 'v%'"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as connection:
        count, size = connection.execute(asked, (project,)).fetchone()
    return {"stored": count, "kb": round(size / 1000)}


def settle_project(rig: Rig, project: Project) -> None:
    """Until the texts are known and the version that they bring about is live: else it moves during the first run, and
    the second one writes what was answered before."""
    project.setup()
    path = f"/projects/{project.number}"
    rig.admin("POST", f"{path}/resync", {})
    while "ok_at" not in rig.admin("GET", path)["last_sync"]:
        time.sleep(0.2)
    project.settle(quiet=5.0)


def run_prediction(rig: Rig, project: int, name: str) -> dict[str, Any]:
    """One run to its end. Raises RuntimeError when it does not go well."""
    path, began, memory = f"/projects/{project}/predict", time.monotonic(), dict[str, int]()
    rig.admin("POST", path, {})
    while (record := rig.admin("GET", path))["status"] in ("queued", "running"):
        memory = {name: max(now, memory.get(name, 0)) for name, now in rig.memory_mb().items()}
        time.sleep(0.2)
    if record["status"] != "done":
        raise RuntimeError(f"{record['status']}: {record['message']}")
    seconds, worked = time.monotonic() - began, record["seconds"]
    total = sum(worked.values()) or 1.0
    return {
        "run": name,
        "tasks": record["seen"],
        "written": record["written"],
        "dropped": record["dropped"],
        **{f"{name}_mb": memory[name] for name in ("sync", "web") if name in memory},
        "seconds": round(seconds, 1),
        "tasks/s": round(record["seen"] / seconds, 1),
        **{f"{step} s": amount for step, amount in worked.items()},
        "label_studio": round((worked["listing"] + worked["writing"]) / total, 2),
    }


def main() -> None:
    """Measure and print."""
    parser = command(__doc__)
    parser.add_argument("--tasks", type=LIST_OF_COUNTS, default="", help="1000,10000,100000; 2000 with --predict")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--flag", action="store_true")
    parser.add_argument("--product", action="store_true")
    parser.add_argument("--predict", action="store_true")
    parser.add_argument("--spans", action="store_true")
    parser.add_argument("--share", type=float, default=1.0)
    given = parser.parse_args()
    environment = {MEMORY_EFFICIENT_IMPORT: "true"} if given.flag else {}
    sizes = [int(size) for size in (given.tasks or ("2000" if given.predict else "1000,10000,100000")).split(",")]
    with LabelStudioServer(ROOT / ".label-studio", environment=environment) as server:
        if given.predict:
            rows = predict_twice(server, sizes[0], given.share, given.spans)
            show(f"understudy predict, {sizes[0]} tasks{', spans' if given.spans else ''}", rows, given.json)
            return
        large = Large()
        show("steering a large project", list(measure(server, large, sizes, given.batch)), given.json)
        if given.product:
            show("understudy on it", list(use_product(server, large.project, large.labels)), given.json)


if __name__ == "__main__":
    main()
