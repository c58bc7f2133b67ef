"""Durable webhooks, AOF always: latency and events a second, idle and during a fine-tune; and a flood of them.

    python -m bench.webhook [--events 300] [--clients 8] [--spans] [--json]
    python -m bench.webhook --flood [--rate 200] [--seconds 300] [--json]

The first is a closed loop, one client and then more; with `--spans` of a project that marks text, where a training is a
head search. `--flood` is an open one, while fine-tunes run: each event is due at a fixed time, whatever became of those
before it, and its latency counts from then. Its clients are a process of their own. A quarter of the events are new
annotations, the others correct one of them, so that the examples stay fewer than the events. At the end the store must
hold, of every annotation, the newest change that was acknowledged: nothing may be lost. Label Studio gives up after a
second: the table counts those.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from backend.redis_access.connection import connect
from backend.redis_access.keys import project_key
from backend.settings.settings import Settings
from bench.support.load import exchange
from bench.support.report import command, judge, milliseconds, show
from tests.support.marked_project import MarkedProject, kind_of
from tests.support.rig import Project, Rig, choices_config, endless_rows, read_rows

PROJECT = 7
LEARNED = 128
"""Labels that the project has learned before anything is measured."""

CLIENTS = 48
CREATED = 0.25
BAR_MS = 250
FIRST_ID = 10_000_000
BUSY = ("web", "redis", "learner")
"""Processes whose share of a core is shown. The training takes what they leave (it is niced)."""


def timed_annotation(project: Project, row: tuple[str, Any]) -> float:
    """Seconds of one acknowledged annotation webhook."""
    pair = project.annotation(*row)
    began = time.perf_counter()
    project.rig.webhook(project.event("ANNOTATION_CREATED", **pair))
    return time.perf_counter() - began


def measure(project: Project, rows: list[tuple[str, Any]], clients: int) -> dict[str, Any]:
    """Latency percentiles and rate of the rows sent by `clients` concurrent connections."""
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        seconds = list(pool.map(lambda row: timed_annotation(project, row), rows))
    rate = len(rows) / (time.perf_counter() - began)
    return {"clients": clients, **milliseconds(seconds), "per_s": round(rate)}


@dataclass
class Sent:
    """What the clients saw: seconds from due to answered, what failed, annotation -> newest change acknowledged."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    newest: dict[int, int] = field(default_factory=dict)
    created: int = 0
    took: float = 0.0


class Events:
    """The stream of events: the body and (annotation, its time in microseconds) of each, made when it is due."""

    def __init__(self, labels: Sequence[str], seed: int = 0) -> None:
        self._labels, self._config = list(labels), choices_config(labels)
        self._rows, self._random = endless_rows(read_rows()), random.Random(seed)
        self._texts: list[str] = []
        self._stamp = 0
        self._guard = threading.Lock()

    @property
    def created(self) -> int:
        """Annotations made."""
        return len(self._texts)

    def next(self) -> tuple[bytes, int, int]:
        """Thread-safe; later events of an annotation have later times."""
        with self._guard:
            create = not self._texts or self._random.random() < CREATED
            if create:
                text, label = next(self._rows)
                self._texts.append(text)
                number = len(self._texts) - 1
            else:
                number = self._random.randrange(len(self._texts))
                text, label = self._texts[number], self._random.choice(self._labels)
            self._stamp = max(self._stamp + 1, time.time_ns() // 1000)
            stamp = self._stamp
        action = "ANNOTATION_CREATED" if create else "ANNOTATION_UPDATED"
        return self._body(action, FIRST_ID + number, text, label, stamp), FIRST_ID + number, stamp

    def _body(self, action: str, number: int, text: str, label: str, stamp: int) -> bytes:
        moment = datetime.fromtimestamp(stamp // 1_000_000, timezone.utc)
        at = f"{moment:%Y-%m-%dT%H:%M:%S}.{stamp % 1_000_000:06d}Z"
        region = {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}
        head = {"id": number, "result": [region], "was_cancelled": False, "created_at": at, "updated_at": at}
        annotation = {**head, "task": number, "project": PROJECT, "completed_by": 1}
        task = {"id": number, "data": {"text": text}, "project": PROJECT}
        project = {"id": PROJECT, "label_config": self._config}
        return json.dumps({"action": action, "project": project, "annotation": annotation, "task": task}).encode()


def flood(port: int, secret: str, labels: Sequence[str], rate: float, seconds: float, results: Any) -> None:
    """Runs in a process of its own; sends a Sent when all is over."""
    sent, events, guard = Sent(), Events(labels), threading.Lock()
    began = time.perf_counter() + 1.0
    clients = [
        threading.Thread(target=_client, args=(number, port, secret, rate, seconds, began, events, sent, guard))
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    sent.created, sent.took = events.created, time.perf_counter() - began
    results.send(sent)


def _client(
    first: int,
    port: int,
    secret: str,
    rate: float,
    seconds: float,
    began: float,
    events: Events,
    sent: Sent,
    guard: threading.Lock,
) -> None:
    """Every CLIENTS-th event, each on a connection of its own as Label Studio's."""
    headers = {"Content-Type": "application/json", "X-Webhook-Secret": secret}
    for number in range(first, int(rate * seconds), CLIENTS):
        due = began + number / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        body, annotation, stamp = events.next()
        status, said = exchange(port, "POST", "/webhook", body, headers)
        problem = "" if status == 200 else f"{status} {said[:100]!r}"
        took = time.perf_counter() - due
        with guard:
            sent.seconds.append(took)
            if problem:
                sent.failures.append(problem)
            else:
                sent.newest[annotation] = max(stamp, sent.newest.get(annotation, 0))


class Tuner(threading.Thread):
    """Sees to it that a fine-tune runs, and for how many seconds one did."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(daemon=True)
        self._rig, self._stop_now = rig, threading.Event()
        self.seconds, self.runs = 0.0, 0

    def run(self) -> None:
        """Until `stop`."""
        job, last = "", time.monotonic()
        while not self._stop_now.wait(0.5):
            status = self._rig.admin("GET", f"/jobs/{job}")["status"] if job else "none"
            now = time.monotonic()
            self.seconds += now - last if status == "running" else 0.0
            last = now
            if status not in ("queued", "running"):
                job = self._rig.admin("POST", f"/projects/{PROJECT}/retrain", {})["job"]
                self.runs += 1

    def stop(self) -> None:
        """Returns when it has ended."""
        self._stop_now.set()
        self.join()


def measure_flood(rig: Rig, labels: Sequence[str], rate: float, seconds: float) -> dict[str, Any]:
    """One row: latencies, failures, and what the store lacks."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=flood, args=(rig.port, rig.secret, labels, rate, seconds, theirs), daemon=True)
    tuner = Tuner(rig)
    tuner.start()
    while not tuner.seconds:
        time.sleep(0.2)
    tuner.seconds, began, before = 0.0, time.monotonic(), rig.cpu_seconds()
    process.start()
    sent: Sent = ours.recv()
    took, after = time.monotonic() - began, rig.cpu_seconds()
    process.join()
    tuner.stop()
    stored = read_versions(rig)
    lost = [number for number, stamp in sent.newest.items() if stored.get(number, 0) < stamp]
    return {
        "events": len(sent.seconds),
        "per_s": round(len(sent.seconds) / sent.took, 1),
        "annotations": sent.created,
        **milliseconds(sent.seconds),
        "over_1_s": sum(second > 1 for second in sent.seconds),
        "not_2xx": len(sent.failures),
        "lost": len(lost),
        **{f"{name}_cores": round((after[name] - before[name]) / took, 2) for name in BUSY if name in after},
        "fine_tuning": f"{100 * min(1.0, tuner.seconds / took):.0f} %",
        "first_failure": sent.failures[0] if sent.failures else "",
    }


def read_versions(rig: Rig) -> dict[int, int]:
    """annotation -> time of its newest change, straight from Redis."""
    client = connect(Settings(data_dir=rig.data_dir, redis_url=""))
    found = client.hgetall(project_key(PROJECT, "ver"))
    client.close()
    return {int(number): int(version) for number, version in found.items()}


def measure_loops(rig: Rig, events: int, clients: int, kind: type[Project]) -> Iterator[dict[str, Any]]:
    """A row per number of clients, while refits run and while a fine-tune does."""
    stream = kind.stream()
    project = kind.learned(rig, PROJECT, LEARNED, stream)
    for count in (1, clients):
        yield {"while": "refits only", **measure(project, list(itertools.islice(stream, events)), count)}
    project.settle()
    began = time.perf_counter()
    job = rig.webhook(project.event("START_TRAINING"))["job"]
    yield {"while": "Start Training", "clients": 1, **milliseconds([time.perf_counter() - began])}
    if kind is MarkedProject:
        return
    while rig.admin("GET", f"/jobs/{job}").get("status") == "queued":
        time.sleep(0.1)
    time.sleep(3)  # the trainer has imported torch and runs its first steps
    for count in (1, clients):
        yield {"while": "fine-tune", **measure(project, list(itertools.islice(stream, events)), count)}
    rig.admin("POST", f"/jobs/{job}/cancel", {})


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    parser.add_argument("--events", type=int, default=300)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--spans", action="store_true")
    parser.add_argument("--flood", action="store_true")
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=300.0)
    args = parser.parse_args()
    with Rig() as rig:
        if not args.flood:
            rows = list(measure_loops(rig, args.events, args.clients, kind_of(args.spans)))
            show(f"webhook, appendfsync always{', spans' if args.spans else ''}", rows, args.json)
            return
        project = Project.learned(rig, PROJECT, LEARNED, endless_rows(read_rows()))
        row = measure_flood(rig, project.labels, args.rate, args.seconds)
    table = [{**row, **judge(row["p99_ms"], "<=", BAR_MS, "ms p99")}]
    show(f"webhook flood: {args.rate:g} events/s for {args.seconds:g} s, appendfsync always", table, args.json)
    if row["lost"]:
        raise SystemExit(f"{row['lost']} acknowledged changes are not in the store")


if __name__ == "__main__":
    main()
