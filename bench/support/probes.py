"""Clients that ask at fixed times, in a process of their own: what they measure is the server, not their own load."""

from __future__ import annotations

import http.client
import multiprocessing
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

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
    """What one probe saw: seconds per request, and requests that failed."""

    seconds: list[float] = field(default_factory=list)
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
        problem = _request(port, probe, probe.bodies[number % len(probe.bodies)])
        ended = time.perf_counter()
        answers.seconds.append(ended - since)
        if problem:
            answers.failures.append(problem)


def _request(port: int, probe: Probe, body: bytes) -> str:
    """What went wrong, "" for nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request(probe.method, probe.path, body or None, dict(probe.headers))
        reply = connection.getresponse()
        reply.read()
        return "" if reply.status < 300 else f"{probe.name}: {reply.status}"
    except OSError as error:
        return f"{probe.name}: {error!r}"
    finally:
        connection.close()
