"""A flood of webhooks: 200 events a second for five minutes, AOF always, while fine-tunes run; nothing may be lost.

    python -m bench.latency.flood [--rate 200] [--seconds 300] [--json]

An open loop: each event is due at a fixed time, whatever became of those before it, and its latency counts from then.
The clients are a process of their own. A quarter of the events are new annotations, the others correct one of them, so
that the examples stay fewer than the events. At the end the store must hold, of every annotation, the newest change
that was acknowledged. Label Studio gives up after a second: the table counts those.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from backend.redis_access.connection import connect
from backend.redis_access.keys import project_key
from backend.settings.settings import Settings
from bench.support.report import judge, milliseconds, show
from tests.support.rig import Project, Rig, choices_config, endless_rows, read_rows

PROJECT = 7
CLIENTS = 48
CREATED = 0.25
TIMEOUT = 30.0
BAR_MS = 250
FIRST_ID = 10_000_000
BUSY = ("web", "redis", "learner")
"""Processes whose share of a core is shown. The training takes what they leave (it is niced)."""


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
    for number in range(first, int(rate * seconds), CLIENTS):
        due = began + number / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        body, annotation, stamp = events.next()
        problem = _post(port, secret, body)
        took = time.perf_counter() - due
        with guard:
            sent.seconds.append(took)
            if problem:
                sent.failures.append(problem)
            else:
                sent.newest[annotation] = max(stamp, sent.newest.get(annotation, 0))


def _post(port: int, secret: str, body: bytes) -> str:
    """What went wrong, "" for nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        headers = {"Content-Type": "application/json", "X-Webhook-Secret": secret}
        connection.request("POST", "/webhook", body, headers)
        reply = connection.getresponse()
        said = reply.read()
        return "" if reply.status == 200 else f"{reply.status} {said[:100]!r}"
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        connection.close()


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


def measure(rig: Rig, labels: Sequence[str], rate: float, seconds: float) -> dict[str, Any]:
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


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = read_rows()
    labels = sorted({label for _, label in rows})
    with Rig() as rig:
        project = Project(rig, PROJECT, labels)
        project.setup()
        project.annotate_many(rows[:128])
        project.settle()
        row = measure(rig, labels, args.rate, args.seconds)
    table = [{**row, **judge(row["p99_ms"], "<=", BAR_MS, "ms p99")}]
    show(f"webhook flood: {args.rate:g} events/s for {args.seconds:g} s, appendfsync always", table, args.json)
    if row["lost"]:
        raise SystemExit(f"{row['lost']} acknowledged changes are not in the store")


if __name__ == "__main__":
    main()
