"""Requests of Label Studio's shape sent to a server under measure: what they cost it, and how long they take.

In closed loops (`send`), or at fixed times (`probe_while`) from a process of their own, so that what is measured is the
server and not the clients' load.
"""

from __future__ import annotations

import http.client
import itertools
import multiprocessing
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import orjson
import psutil
import requests

from bench.support.served import Server
from tests.support.rig import Rig, choices_config

_ids = itertools.count(1)


@dataclass(frozen=True)
class Load:
    """`requests` of `tasks` tasks each, by so many clients in closed loops; a big one runs in every fifth round."""

    tasks: int
    requests: int
    clients: int = 1

    @property
    def name(self) -> str:
        """As the table shows it."""
        what = f"{self.tasks:,} task{'s' * (self.tasks > 1)}"
        return f"{self.clients} clients x {what}" if self.clients > 1 else what

    def runs_in(self, round_: int) -> bool:
        """Whether it belongs into this round."""
        return self.tasks < 1000 or round_ % 5 == 0

    def texts(self, rounds: int) -> int:
        """How many it takes in all rounds."""
        return self.tasks * self.requests * sum(map(self.runs_in, range(rounds)))

    def bodies(self, texts: Iterator[str], labels: Sequence[str]) -> list[bytes]:
        """One round's request bodies from the next texts."""
        return [body(list(itertools.islice(texts, self.tasks)), labels) for _ in range(self.requests)]


@dataclass
class Reading:
    """What one server did with one load in one round. `others`: CPU seconds that the machine spent elsewhere."""

    requests: int
    tasks: int
    cpu: float
    wall: float
    others: float
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def cpu_ms(self) -> float:
        """The server's CPU milliseconds per request."""
        return self.cpu / self.requests * 1000

    @property
    def rate(self) -> float:
        """Tasks per CPU second."""
        return self.tasks / self.cpu


def body(texts: Sequence[str], labels: Sequence[str], project: int = 7, config: str = "") -> bytes:
    """A /predict body with all fields that Label Studio 1.23 sends. `config`: instead of choices among `labels`."""
    return orjson.dumps(
        {
            "tasks": [_task(next(_ids), text, project) for text in texts],
            "model_version": None,
            "project": f"{project}.1795455205",
            "label_config": config or choices_config(labels),
            "params": {"login": None, "password": None, "context": None},
        }
    )


def _task(number: int, text: str, project: int) -> dict[str, Any]:
    counts = ("total_annotations", "cancelled_annotations", "total_predictions", "comment_count")
    nothing = ("last_comment_updated_at", "updated_by", "file_upload")
    return {
        "id": number,
        "data": {"text": text},
        "meta": {},
        "created_at": "2026-11-23T17:34:06.700182Z",
        "updated_at": "2026-11-23T17:34:06.700211Z",
        "is_labeled": False,
        "overlap": 1,
        "inner_id": number,
        **dict.fromkeys((*counts, "unresolved_comment_count"), 0),
        **dict.fromkeys(nothing),
        "project": project,
        "comment_authors": [],
        "annotations": [],
        "predictions": [],
    }


def send(server: Server, bodies: Sequence[bytes], clients: int = 1) -> Reading:
    """Sends all bodies, each client its share; what it took. A reply that is not whole counts as a failure."""
    seconds: list[float] = []
    failures: list[str] = []
    tasks = [body.count(b'"inner_id"') for body in bodies]
    shares = [list(zip(bodies, tasks, strict=True))[client::clients] for client in range(clients)]
    threads = [threading.Thread(target=_client, args=(server.url, share, seconds, failures)) for share in shares]
    machine, ours = _machine_seconds(), time.process_time()
    cpu, began = server.cpu_seconds(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, cpu = time.perf_counter() - began, server.cpu_seconds() - cpu
    others = max(0.0, _machine_seconds() - machine - cpu - (time.process_time() - ours))
    return Reading(len(bodies), sum(tasks), cpu, wall, others, seconds, failures)


def _client(url: str, share: Sequence[tuple[bytes, int]], seconds: list[float], failures: list[str]) -> None:
    with requests.Session() as session:
        for data, tasks in share:
            began = time.perf_counter()
            failure = post(session, url, data, tasks)
            seconds.append(time.perf_counter() - began)
            failures += [failure] if failure else []


def post(session: requests.Session, url: str, data: bytes, tasks: int) -> str:
    """One request; what is wrong with its reply, "" when every task was answered."""
    try:
        reply = session.post(f"{url}/predict", data=data, headers={"Content-Type": "application/json"}, timeout=600)
        reply.raise_for_status()
        answered = sum(map(bool, reply.json()["results"]))
    except (requests.RequestException, KeyError, ValueError) as error:
        return repr(error)
    return "" if answered == tasks else f"{answered} of {tasks} tasks answered"


class Sender:
    """Sends distinct texts in requests of `tasks` until it is stopped; counts the requests."""

    def __init__(self, server: Server, texts: Iterator[str], labels: Sequence[str], tasks: int) -> None:
        self.server, self.texts, self.labels, self.tasks = server, texts, labels, tasks
        self.requests = 0
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _send(self) -> None:
        with requests.Session() as session:
            while not self._stop.is_set():
                batch = list(itertools.islice(self.texts, self.tasks))
                failure = post(session, self.server.url, body(batch, self.labels), len(batch))
                self.failures += [failure] if failure else []
                self.requests += 1


def _machine_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - getattr(times, "guest", 0) - getattr(times, "guest_nice", 0))


def busy_with_others(readings: Sequence[Reading]) -> float | str:
    """Cores that were busy with something else; unknown for less than a second, since the kernel counts in ticks."""
    wall = sum(reading.wall for reading in readings)
    return round(sum(reading.others for reading in readings) / wall, 2) if wall > 1 else "?"


def middle(values: Sequence[float], digits: int = 1) -> float:
    """The rounds' median."""
    return round(median(values), digits)


TIMEOUT = 30.0


@dataclass(frozen=True)
class Probe:
    """One endpoint asked `per_second` times a second with the next of `bodies` (one body: always the same)."""

    name: str
    method: str
    path: str
    per_second: float
    bodies: Sequence[bytes] = (b"",)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Answers:
    """What one probe saw: seconds per request, those of them in which the client itself waited for a core, and requests
    that failed."""

    seconds: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def probe_while(port: int, probes: Sequence[Probe], seconds: float, until: Callable[[], bool]) -> dict[str, Answers]:
    """Asks for `seconds`, and on until `until()`; what every probe saw, by name."""
    context = multiprocessing.get_context("spawn")
    stop, ours, theirs = context.Event(), *context.Pipe(duplex=False)
    process = context.Process(target=_probe, args=(port, probes, stop, theirs), daemon=True)
    process.start()
    try:
        ours.recv()  # it has started
        end = time.monotonic() + seconds
        while time.monotonic() < end or not until():
            time.sleep(0.05)
        stop.set()
        found: dict[str, Answers] = ours.recv()
    finally:
        process.terminate() if process.is_alive() and not stop.is_set() else process.join(TIMEOUT)
    return found


def _probe(port: int, probes: Sequence[Probe], stop: threading.Event, results: object) -> None:
    answers = {probe.name: Answers() for probe in probes}
    threads = [threading.Thread(target=_ask, args=(port, probe, answers[probe.name], stop)) for probe in probes]
    results.send(None)  # type: ignore[attr-defined]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.send(answers)  # type: ignore[attr-defined]


def _ask(port: int, probe: Probe, answers: Answers, stop: threading.Event) -> None:
    """One request at a time, each on a connection of its own as Label Studio's.

    A reply that comes after the next request was due counts for that one, too: it has waited since it was due."""
    began = ended = time.perf_counter()
    for number in range(10**9):
        if stop.is_set():
            return
        due = began + number / probe.per_second
        time.sleep(max(0.0, due - time.perf_counter()))
        since = due if ended > due else time.perf_counter()
        waited = waited_for_core()
        problem = _request(port, probe, probe.bodies[number % len(probe.bodies)])
        ended = time.perf_counter()
        answers.seconds.append(ended - since)
        answers.waits.append(waited_for_core() - waited)
        if problem:
            answers.failures.append(problem)


def waited_for_core() -> float:
    """Seconds in which this thread could have run and had no core, so far; 0 where the system does not tell."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    return 0.0


def _request(port: int, probe: Probe, body: bytes) -> str:
    """What went wrong, "" for nothing."""
    status, said = exchange(port, probe.method, probe.path, body, probe.headers)
    return "" if 200 <= status < 300 else f"{probe.name}: {status} {said[:100].decode(errors='replace')}"


def exchange(
    port: int, method: str, path: str, body: bytes, headers: Mapping[str, str], timeout: float = TIMEOUT
) -> tuple[int, bytes]:
    """(status, body) of one request on a connection of its own; (0, name of the error) without a reply."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body or None, dict(headers))
        reply = connection.getresponse()
        return reply.status, reply.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, type(error).__name__.encode()
    finally:
        connection.close()


class Workers:
    """Threads that work until `stop`: each does one of `works`, which ends once `stopping` is set."""

    def __init__(self, *works: Callable[[], None]) -> None:
        self.stopping = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in works]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when all have ended."""
        self.stopping.set()
        for thread in self._threads:
            thread.join()


TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
"""Of a form of the model page."""


@dataclass
class Opened:
    """`seconds` to the first byte; `news`: its ETag."""

    status: int
    seconds: float
    news: str
    size: int


class Page:
    """A browser that is logged in to the model page, with one connection. Use as a context manager, or close it."""

    def __init__(self, rig: Rig, cookie: str = "") -> None:
        self._rig, self.news, self.cookie = rig, dict[str, str](), cookie
        self._connection = http.client.HTTPConnection("127.0.0.1", rig.port, timeout=120)
        self.cookie = cookie or self._log_in()

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Page:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self, path: str) -> Opened:
        """The whole page. Raises RuntimeError for anything else."""
        found = self._ask("GET", path)
        if found.status != 200:
            raise RuntimeError(f"{path}: {found.status}")
        return found

    def poll(self, path: str) -> Opened:
        """As an open page does: whether there is anything new."""
        headers = {"HX-Request": "true"}
        if known := self.news.get(path):
            headers["If-None-Match"] = known
        found = self._ask("GET", path, headers)
        if found.status not in (200, 304):
            raise RuntimeError(f"{path}: {found.status}")
        self.news[path] = found.news
        return found

    def _ask(self, method: str, path: str, headers: dict[str, str] | None = None, sent: str | None = None) -> Opened:
        began = time.perf_counter()
        self._connection.request(method, path, sent, {"Cookie": self.cookie, **(headers or {})})
        reply = self._connection.getresponse()
        seconds = time.perf_counter() - began
        self.text, self.set_cookies = reply.read().decode(), reply.msg.get_all("Set-Cookie") or []
        return Opened(reply.status, seconds, reply.headers.get("ETag", ""), len(self.text))

    def _log_in(self) -> str:
        self._ask("GET", "/ui/login")
        token = TOKEN.search(self.text)
        fields = urlencode({"csrf_token": token[1] if token else "", "token": self._rig.admin_token})
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": self.set_cookies[0].split(";")[0]}
        if self._ask("POST", "/ui/login", headers, fields).status != 303:
            raise RuntimeError(f"not logged in: {self.text[:200]}")
        return next(cookie for cookie in self.set_cookies if "_session_" in cookie).split(";")[0]
