"""How long /health, /setup and an annotation's webhook take while the whole product is busy with other things.

    python -m bench.setup_latency [--seconds 25] [--swaps 50] [--loads idle,labels,...] [--spans] [--json]

`understudy up` runs everything. Each load has a fresh project of 64 labels; clients in a process of their own ask at
fixed times (20, 20 and 12 requests a second), each request on a new connection as Label Studio's, and a late reply
counts for the requests that had to wait behind it. Every webhook is a label, so refits and their hot swaps go on in all
loads but `idle`. `predicts`: 1,000 new texts a request, one request after the other. `fine-tune`: on 256 labels.
`swaps`: 50 fine-tuned encoders, each loaded from its files. `all`: the three at once. `fsync_max`: milliseconds of the
slowest write of Redis's log to disk in that time: a webhook waits for that, and so does whatever else asks Redis.
`--spans`: projects that mark text, whose encoder is not fine-tuned: idle, labels and predicts.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import requests

from backend.redis_access.connection import connect
from backend.settings.settings import Settings
from bench.support.fixtures import VersionMaker
from bench.support.load import Probe, probe_while
from bench.support.report import command, judge, milliseconds, show
from tests.support.marked_project import kind_of
from tests.support.rig import Project, Rig

BARS = {"/health": 20.0, "/setup": 20.0, "webhook": 50.0}
"""Milliseconds that the p99 may take."""

RATES = {"/health": 20.0, "/setup": 20.0, "webhook": 12.0}
"""Requests a second."""

TUNED = 5
"""Fine-tuned versions that are swapped in turn: one more than a web process keeps."""

STEPS = "2000"
"""Of the fine-tune: it lasts longer than the load, and is cancelled."""

BULK, TRAINED, SWAPPED = 90, 91, 92
"""Projects of the loads."""

JSON = {"Content-Type": "application/json"}

Done = Callable[[], bool]


def never_waits() -> bool:
    """Of a load without an end of its own."""
    return True


class Bench:
    """The running product, with a project for each kind of load."""

    def __init__(self, rig: Rig, swaps: int = 50, kind: type[Project] = Project) -> None:
        self.rig, self.rows, self.swaps, self.kind = rig, kind.sample(), swaps, kind
        self.stream = kind.stream()
        self.numbers = itertools.count(100)
        self.tuned: list[str] = []
        self.settings = Settings(data_dir=rig.data_dir)  # type: ignore[call-arg]
        self.redis = connect(self.settings)
        self.redis.config_set("latency-monitor-threshold", 1)
        for number in (BULK, TRAINED, SWAPPED):
            self.project(number).setup()

    def project(self, number: int) -> Project:
        """A project with the sample's labels."""
        return self.kind.of_sample(self.rig, number)

    def prepare(self) -> None:
        """Labels for the fine-tune, and the versions to swap."""
        self.project(TRAINED).annotate_many(self.rows[:256])
        self.project(TRAINED).settle()
        maker = VersionMaker(self.settings, SWAPPED, self.rows[:64])
        self.tuned = [maker.make_tuned(f"v{9001 + index}") for index in range(TUNED)]
        maker.close()

    def measure(self, load: str, seconds: float) -> list[dict[str, Any]]:
        """One row per endpoint."""
        project = self.kind.learned(self.rig, next(self.numbers), 64, self.stream)
        probes = self._probes(project, seconds, labels=load != "idle")
        with ExitStack() as stack:
            ends = [stack.enter_context(start(self)) for name, start in LOADS.items() if load in (name, "all")]
            self.redis.latency_reset()
            swaps, cpu, began = self._swaps(), self.rig.cpu_seconds(), time.monotonic()
            seen = probe_while(self.rig.port, probes, seconds, lambda: all(is_done() for is_done in ends))
            swaps, took = self._swaps() - swaps, time.monotonic() - began
            busy = {name: (now - cpu.get(name, 0.0)) / took for name, now in self.rig.cpu_seconds().items()}
        cores = ", ".join(f"{name} {share:.2f}" for name, share in sorted(busy.items()) if share >= 0.05)
        fsync = [event[3] for event in self.redis.latency_latest() if "fsync" in str(event[0])]
        rows = []
        for probe in probes:
            answers = seen[probe.name]
            row = {"load": load, "endpoint": probe.name, **milliseconds(answers.seconds)}
            row |= {"failures": len(answers.failures), **judge(row["p99_ms"], "<=", BARS[probe.name], "ms p99")}
            rows.append({**row, "fsync_max": max(fsync, default=0), "swaps": swaps, "cores": cores})
        return rows

    def _probes(self, project: Project, seconds: float, labels: bool) -> list[Probe]:
        setup = {
            "project": f"{project.number}.1795455205",
            "schema": project.config,
            "hostname": "",
            "access_token": "",
        }
        probes = [
            Probe("/health", "GET", "/health", RATES["/health"]),
            Probe("/setup", "POST", "/setup", RATES["/setup"], [json.dumps(setup).encode()], JSON),
        ]
        if labels:
            count = int(3 * seconds * RATES["webhook"])
            pairs = [project.annotation(text, label) for text, label in itertools.islice(self.stream, count)]
            bodies = [json.dumps(project.event("ANNOTATION_CREATED", **pair)).encode() for pair in pairs]
            secret = {**JSON, "X-Webhook-Secret": self.rig.secret}
            probes.append(Probe("webhook", "POST", "/webhook", RATES["webhook"], bodies, secret))
        return probes

    def _swaps(self) -> int:
        return int(self.rig.metric("understudy_model_swaps_total"))


@contextmanager
def in_background(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """`work(stop)` in a thread, until the block ends."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def predicting(bench: Bench) -> Iterator[Done]:
    """1,000-task predicts of new texts, one after the other."""
    project = bench.project(BULK)

    def predict(stop: threading.Event) -> None:
        session = requests.Session()
        while not stop.is_set():
            with suppress(requests.RequestException):
                project.predict([text for text, _ in itertools.islice(bench.stream, 1000)], session=session)

    with in_background(predict):
        time.sleep(0.5)
        yield never_waits


@contextmanager
def fine_tuning(bench: Bench) -> Iterator[Done]:
    """A fine-tune that is past its preparations, and cancelled in the end."""
    job = bench.rig.admin("POST", f"/projects/{TRAINED}/retrain", {})["job"]
    deadline = time.monotonic() + 120
    while not bench.rig.admin("GET", f"/jobs/{job}").get("step"):
        if time.monotonic() > deadline:
            raise TimeoutError("the fine-tune makes no step within 120 s")
        time.sleep(0.2)
    try:
        yield never_waits
    finally:
        bench.rig.admin("POST", f"/jobs/{job}/cancel", {})
        bench.rig.wait_job(job)


@contextmanager
def swapping(bench: Bench) -> Iterator[Done]:
    """Rollbacks from one fine-tuned version to the next, every 0.6 s; done after so many as the bench wants."""
    done = threading.Event()

    def swap(stop: threading.Event) -> None:
        for number, version in enumerate(itertools.cycle(bench.tuned)):
            if stop.wait(0.6):
                return
            bench.rig.touch(SWAPPED, version)
            bench.rig.admin("POST", f"/projects/{SWAPPED}/rollback", {"version": version})
            if number + 1 >= bench.swaps:
                done.set()

    with in_background(swap):
        yield done.is_set


LOADS = {"fine-tune": fine_tuning, "swaps": swapping, "predicts": predicting}
"""In the order in which `all` starts them: the fine-tune yields to the others, and would be long at its first step."""


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    parser.add_argument("--seconds", type=float, default=25.0)
    parser.add_argument("--loads", default="")
    parser.add_argument("--spans", action="store_true")
    parser.add_argument("--swaps", type=int, default=50)
    args = parser.parse_args()
    loads = (
        args.loads or ("idle,labels,predicts" if args.spans else "idle,labels,predicts,fine-tune,swaps,all")
    ).split(",")
    with Rig(FINETUNE_STEPS=STEPS) as rig:
        bench = Bench(rig, args.swaps, kind_of(args.spans))
        if not args.spans:
            bench.prepare()
        rows = []
        try:
            for load in loads:
                rows += bench.measure(load, args.seconds)
        finally:
            title = "latency of /health, /setup and webhooks under load"
            show(f"{title}{', spans' if args.spans else ''}", rows, args.json)


if __name__ == "__main__":
    main()
