"""A rolling update of two web processes under load, as a Deployment does it: `python -m tests.support.rolling`.

A new pod is started; when /ready says yes it is an endpoint of the Service, and an old pod is told to go: it begins its
preStop sleep, a little later it is no endpoint any more, and after the sleep it gets SIGTERM. As with kube-proxy a
client stays with the pod that it is connected to, and nothing is sent twice.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.events import CONFIG, annotation
from tests.support.rig import free_port
from tests.support.tiny import PROJECT, build_tiny

LAG_SECONDS = 0.5
"""From the moment that a pod is told to go until no new connection leads to it."""

GRACE_SECONDS = 25.0
"""From SIGTERM until it would be killed: the chart's terminationGracePeriodSeconds without its preStop."""

TASKS = 4
"""Of one request."""


def until(is_so: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it never came to be so"
        time.sleep(0.05)


@dataclass(frozen=True)
class Pod:
    """A web process."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def is_ready(self) -> bool:
        """What the kubelet's probe says."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@dataclass
class Service:
    """`endpoints`: ports that a new connection may lead to."""

    endpoints: list[int] = field(default_factory=list)


@dataclass
class Seen:
    """Of all clients: seconds of each reply, what failed, annotations that were acknowledged, and how many were refused
    for want of Redis."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    refused: int = 0


class Client(threading.Thread):
    """Asks for predictions, or brings annotations, over one connection after the other."""

    def __init__(self, service: Service, seen: Seen, number: int, pause: float, labels: bool = False) -> None:
        super().__init__(daemon=True)
        self._service, self._seen, self._number, self._pause, self._labels = service, seen, number, pause, labels
        self._connection: http.client.HTTPConnection | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(self._pause):
            self._number += 1
            began = time.monotonic()
            try:
                self._ask()
            except (OSError, http.client.HTTPException) as error:
                self._seen.failures.append(f"{'event' if self._labels else 'prediction'}: {error!r}")
                self._leave()
            self._seen.seconds.append(time.monotonic() - began)
        self._leave()

    def _ask(self) -> None:
        path, body = ("/webhook", self._event()) if self._labels else ("/predict", self._tasks())
        connection = self._open()
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        said = json.loads(reply.read())
        if self._labels and said.get("error") == "store_unavailable":
            self._seen.refused += 1  # a Redis that was slow for a second: it says so, and fetches the label later
        elif reply.status != 200 or not (self._labels or all(said["results"])):
            self._seen.failures.append(f"{path} {reply.status} {str(said)[:200]}")
        elif self._labels:
            self._seen.acknowledged.append(self._number)
        if reply.will_close:
            self._leave()

    def _open(self) -> http.client.HTTPConnection:
        """The connection; another one where the server has closed it while nothing was asked, as urllib3 sees it."""
        if self._connection is not None and self._connection.sock is not None:
            if not select.select([self._connection.sock], [], [], 0)[0]:
                return self._connection
            self._leave()
        self._connection = http.client.HTTPConnection("127.0.0.1", random.choice(self._service.endpoints), timeout=30)
        return self._connection

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _tasks(self) -> dict[str, object]:
        tasks = [{"id": n, "data": {"text": f"a b {n} {self._number}"}} for n in range(1, TASKS + 1)]
        return {"tasks": tasks, "project": f"{PROJECT}.1", "label_config": CONFIG}

    def _event(self) -> dict[str, object]:
        project = {"id": PROJECT, "label_config": CONFIG}
        return {"action": "ANNOTATION_CREATED", "project": project, **annotation(self._number)}


@dataclass(frozen=True)
class Told:
    """What was seen. `stop_seconds`: from SIGTERM to the end of each old process; `killed`: how many of them would have
    been killed."""

    requests: int
    failures: tuple[str, ...]
    acknowledged: frozenset[int]
    p50_ms: float
    longest_ms: float
    start_seconds: tuple[float, ...]
    stop_seconds: tuple[float, ...]
    killed: int


class Deployment:
    """Web processes of one installation, each with a disk of its own."""

    def __init__(self, folder: Path, redis_url: str, base: Path) -> None:
        facts = {"REDIS_URL": redis_url, "BASE_MODEL": str(base), "ADMIN_TOKEN": "admin", "OMP_NUM_THREADS": "1"}
        self._environment = {**os.environ, **facts, "LOG_LEVEL": "WARNING"}
        self._folder, self.pods, self.service = folder, list[Pod](), Service()

    def start(self) -> Pod:
        """A new pod, which is no endpoint yet."""
        port = free_port()
        own = {"PORT": str(port), "DATA_DIR": str(self._folder / str(port))}
        pod = Pod(subprocess.Popen([sys.executable, "-m", "backend", "web"], env={**self._environment, **own}), port)
        self.pods.append(pod)
        return pod

    def admit(self, pod: Pod) -> None:
        """Once its probe says that it is ready."""
        until(lambda: pod.is_ready)
        self.service.endpoints = [*self.service.endpoints, pod.port]

    def end(self, pod: Pod, drain: float) -> tuple[float, bool]:
        """Seconds from SIGTERM until it has ended, and whether it ended by itself."""
        time.sleep(min(LAG_SECONDS, drain))
        self.service.endpoints = [port for port in self.service.endpoints if port != pod.port]
        time.sleep(max(0.0, drain - LAG_SECONDS))
        pod.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        try:
            pod.process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            pod.process.kill()
            return time.monotonic() - began, False
        return time.monotonic() - began, True

    def close(self) -> None:
        for pod in self.pods:
            pod.process.kill()
            pod.process.wait()


def roll(deployment: Deployment, drain: float, clients: int) -> Told:
    """Two web processes are replaced one by one while `clients` ask for predictions, another one leaves long pauses,
    and one brings annotations."""
    old = [deployment.start() for _ in range(2)]
    for pod in old:
        deployment.admit(pod)
    seen = Seen()
    workers = [Client(deployment.service, seen, 1_000_000 * (one + 1), 0.02) for one in range(clients)]
    workers.append(Client(deployment.service, seen, 500_000, 1.7))
    workers.append(Client(deployment.service, seen, 0, 0.05, labels=True))
    starts: list[float] = []
    stops: list[tuple[float, bool]] = []
    ending: list[threading.Thread] = []
    for worker in workers:
        worker.start()
    for pod in old:
        began = time.monotonic()
        deployment.admit(deployment.start())
        starts.append(time.monotonic() - began)
        ending.append(threading.Thread(target=lambda pod=pod: stops.append(deployment.end(pod, drain))))  # type: ignore[misc]
        ending[-1].start()
    for thread in ending:
        thread.join()
    asked = len(seen.seconds)
    until(lambda: len(seen.seconds) > asked + clients)  # what comes last is answered by the new ones
    for worker in workers:
        worker.ended.set()
    for worker in workers:
        worker.join(60)
    ordered = sorted(seen.seconds)
    return Told(
        requests=len(ordered),
        failures=tuple(seen.failures),
        acknowledged=frozenset(seen.acknowledged),
        p50_ms=1000 * ordered[len(ordered) // 2],
        longest_ms=1000 * ordered[-1],
        start_seconds=tuple(round(one, 1) for one in starts),
        stop_seconds=tuple(round(seconds, 1) for seconds, _ in stops),
        killed=sum(not itself for _, itself in stops),
    )


def main() -> None:
    """Prints what was seen."""
    from tests.conftest import running_redis

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--drain", type=float, default=5.0, help="seconds of preStop: drainSeconds of the chart")
    given = parser.parse_args()
    with running_redis() as server, tempfile.TemporaryDirectory(prefix="us-rolling-") as folder:
        base = build_tiny(Path(folder) / "base")
        deployment = Deployment(Path(folder), server.settings.effective_redis_url, base)
        try:
            told = roll(deployment, given.drain, given.clients)
        finally:
            deployment.close()
    print(f"{told.requests} requests, failed: {len(told.failures)} {told.failures[:3]}")
    print(f"p50 {told.p50_ms:.0f} ms, longest {told.longest_ms:.0f} ms; acknowledged: {len(told.acknowledged)}")
    print(f"ready after {told.start_seconds} s, ended {told.stop_seconds} s after SIGTERM, killed: {told.killed}")


if __name__ == "__main__":
    main()
