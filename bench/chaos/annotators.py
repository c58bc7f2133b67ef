"""People who label, and Label Studio's way of telling about it: each event once, one second of patience, no retry."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from bench.chaos.check.history import History
from tests.support.label_studio_stub import SKIPPED, Change, ReferenceModel, Task

PATIENCE = 1.0
"""WEBHOOK_TIMEOUT of Label Studio."""

MOST = 400
"""Annotations a project: beyond that more are deleted than made, so that half an hour is not about size."""

WRONG = 0.2
"""Share of corrections that are none: with more of them no fine-tune would ever be accepted."""

FRESH = 0.4
"""Share of changes to one of the newest annotations."""

ACTIONS = {"create": 42, "bulk": 4, "update": 26, "skip": 4, "delete": 13, "delete tasks": 7, "train": 0.4}
SPOILT = {"lost": 0.01, "late": 0.15, "twice": 0.04}
"""Shares of deliveries that never leave, that leave up to 1.5 s late (and so in another order), that arrive twice."""


class Annotators:
    """Changes the truth `rate` times a second and delivers each change to `port`."""

    def __init__(
        self,
        truth: ReferenceModel,
        rows: Iterator[tuple[str, str]],
        history: History,
        port: int,
        secret: str,
        rate: float,
        seed: int,
    ) -> None:
        self._truth, self._rows, self._history = truth, rows, history
        self._port, self._secret, self._rate = port, secret, rate
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._senders = ThreadPoolExecutor(48)
        self._thread = threading.Thread(target=self._run, name="annotators", daemon=True)
        self._number = 0

    def start(self) -> None:
        """Begin with 60 annotations in each project."""
        for project in self._truth.tasks:
            self._deliver(self._truth.create(project, [next(self._rows) for _ in range(60)]))
        self._thread.start()

    def stop(self) -> None:
        """Returns when the last event is delivered, or was refused."""
        self._stop.set()
        self._thread.join()
        self._senders.shutdown(wait=True)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self._deliver(self._next_change())
            due += self._random.expovariate(self._rate)
            self._stop.wait(max(0.0, due - time.monotonic()))

    def _next_change(self) -> Change:
        project = self._random.choice(list(self._truth.tasks))
        annotated = self._truth.annotated(project)
        action = self._random.choices(list(ACTIONS), list(ACTIONS.values()))[0]
        if len(annotated) > MOST and action in ("create", "bulk"):
            action = "delete"
        if action == "create" or len(annotated) < 40:
            return self._truth.create(project, [next(self._rows)])
        if action == "bulk":
            return self._truth.create(project, [next(self._rows) for _ in range(self._random.randint(5, 40))])
        if action == "train":
            return self._truth.train(project)
        # Some of the newest: their first event may still be under way.
        among = annotated[-8:] if self._random.random() < FRESH else annotated
        return self._change(action, self._random.sample(among, self._random.choice((1, 1, 1, 2, 5))))

    def _change(self, action: str, tasks: list[Task]) -> Change:
        if action == "delete":
            return self._truth.delete(tasks)
        if action == "delete tasks":
            return self._truth.delete_tasks(tasks)
        label = self._random.choice(self._truth.labels) if self._random.random() < WRONG else tasks[0].label
        return self._truth.update(tasks[0], SKIPPED if action == "skip" else label)

    def _deliver(self, change: Change) -> None:
        """What becomes of it is decided here; the senders only carry it out."""
        self._number += 1
        fate = self._random.random()
        late = self._random.uniform(0.05, 1.5)
        facts = {"sets": change.sets, "gone": change.gone, "project": change.project, "action": change.action}
        self._history.note("change", n=self._number, t=change.at, **facts)
        if fate < SPOILT["lost"]:
            return
        delay = late if fate < SPOILT["lost"] + SPOILT["late"] else 0.0
        self._senders.submit(self._send, self._number, change, delay)
        if fate > 1 - SPOILT["twice"]:
            self._senders.submit(self._send, self._number, change, late)

    def _send(self, number: int, change: Change, delay: float) -> None:
        time.sleep(delay)
        began = time.time()
        status, said = post(self._port, json.dumps(change.body).encode(), self._secret)
        self._history.note("event", n=number, t0=round(began, 4), status=status, said=said)


def post(port: int, body: bytes, secret: str) -> tuple[int, str]:
    """(status, what went wrong) of one webhook; status 0 without a reply."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        headers = {"Content-Type": "application/json", "X-Webhook-Secret": secret}
        connection.request("POST", "/webhook", body, headers)
        reply = connection.getresponse()
        said = reply.read(2000).decode(errors="replace")
        return reply.status, "" if reply.status < 300 else said[:300]
    except (OSError, http.client.HTTPException) as error:
        return 0, type(error).__name__
    finally:
        connection.close()
