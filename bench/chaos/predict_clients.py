"""Clients that ask for predictions all the time, and look whether /ready says yes."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
import time
from collections.abc import Iterator

from bench.chaos.check.history import History
from tests.support.label_studio_stub import ReferenceModel

TIMEOUT = 30.0
TASKS = 4
"""Tasks a request: more than one, so that a reply could mix versions if the code allowed it."""


class PredictClients:
    """`clients` threads on /predict, each `rate` times a second, and one on /ready."""

    def __init__(
        self,
        truth: ReferenceModel,
        rows: Iterator[tuple[str, str]],
        history: History,
        port: int,
        rate: float,
        clients: int,
    ) -> None:
        self._truth, self._history, self._port, self._rate = truth, history, port, rate
        self._texts = [text for text, _ in itertools.islice(rows, 400)]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,), daemon=True) for number in range(clients)]
        self._threads.append(threading.Thread(target=self._watch, daemon=True))

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when the last reply is there."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, seed: int) -> None:
        chance = random.Random(seed)
        while not self._stop.wait(chance.expovariate(self._rate)):
            project = chance.choice(list(self._truth.tasks))
            texts = chance.sample(self._texts, TASKS)
            tasks = [{"id": 10**9 + seed * 10**6 + index, "data": {"text": text}} for index, text in enumerate(texts)]
            body = {"tasks": tasks, "project": f"{project}.1795455205", "label_config": self._truth.config}
            began = time.time()
            status, reply = call(self._port, "POST", "/predict", json.dumps(body).encode())
            self._history.note("predict", t0=round(began, 4), project=project, status=status, **summary(status, reply))

    def _watch(self) -> None:
        last, noted = 0, 0.0
        while not self._stop.wait(0.15):
            began = time.time()
            status, _ = call(self._port, "GET", "/ready", None, timeout=2.0)
            if status != last or began - noted > 1.0:
                last, noted = status, began
                self._history.note("ready", t0=round(began, 4), status=status)


def summary(status: int, reply: bytes | str) -> dict[str, object]:
    """What the checker wants to know of a reply: `top` and `versions` it names, how many tasks it answered."""
    if status != 200:
        return {"said": reply[:300].decode(errors="replace") if isinstance(reply, bytes) else reply}
    found = json.loads(reply)
    results = found["results"]
    versions = sorted({str(item["model_version"]) for item in results if item})
    return {
        "top": found.get("model_version"),
        "versions": versions,
        "asked": TASKS,
        "answered": sum(map(bool, results)),
    }


def call(port: int, method: str, path: str, body: bytes | None, timeout: float = TIMEOUT) -> tuple[int, bytes | str]:
    """(status, body); (0, name of the error) without a reply."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        reply = connection.getresponse()
        return reply.status, reply.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, type(error).__name__
    finally:
        connection.close()
