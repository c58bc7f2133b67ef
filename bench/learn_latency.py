"""How soon a label counts, what an annotator waits for between two tasks, and Label Studio while everything is busy.

    python -m bench.learn_latency [--labels 16,64,256,1000] [--repeats 30] [--json]
    python -m bench.learn_latency --next-task [--labels 64,1000] [--pool 4000] [--repeats 200] [--json]
    python -m bench.learn_latency --stores none,file,s3,s3+20 [--labels 64] [--repeats 20] [--json]
    python -m bench.learn_latency --spans [--next-task] [--labels 16,64,256,1000] [--repeats 30] [--json]
    python -m bench.learn_latency --under-load [--seconds 25] [--swaps 50] [--loads idle,labels,...] [--spans] [--json]

The whole product runs (`understudy up`): web, learner, trainer, sync, scheduler and an embedded Redis with
appendfsync always. 8 classes, the packaged MiniLM.

The first: from the reply to an annotation's webhook until `/setup` reports a new version and `/predict` answers with
it. Every text was predicted before it is labelled, as in Label Studio.

`--next-task`: Label Studio answers a Submit after our reply to the webhook, and the next task after our replies to
/setup and /predict (its own part, a third of a second or more, is not in it). Each label refits the head while the next
task is asked for; a plan of the queue is asked for after every eighth, as the policy does at the soonest.

`--under-load`: how long /health, /setup and an annotation's webhook take while the whole product is busy with other
things. Each load has a fresh project of 64 labels; clients in a process of their own ask at fixed times (20, 20 and 12
requests a second), each request on a new connection as Label Studio's, and a late reply counts for the requests that
had to wait behind it. Every webhook is a label, so refits and their hot swaps go on in all loads but `idle`.
`predicts`: 1,000 new texts a request, one request after the other. `fine-tune`: on 256 labels. `swaps`: 50 fine-tuned
encoders, each loaded from its files. `all`: the three at once. `fsync_max`: milliseconds of the slowest write of
Redis's log to disk in that time: a webhook waits for that, and so does whatever else asks Redis. `client_p99_ms`: how
long the client, which has no cores of its own, waited for one within a request.
`--stores`: the first, with versions in an object store: in none, in a directory, behind a real S3 API on this machine,
and behind one whose every request takes so many milliseconds longer. All processes share a disk, so that what the web
process fetches is the manifest alone.

With `--spans`: projects that mark text, whose encoder is not fine-tuned: idle, labels and predicts.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from tempfile import TemporaryDirectory
from typing import Any

import requests

from backend.redis_access.connection import connect
from backend.settings.settings import Settings
from backend.store.stores import Stores
from bench.support.fixtures import VersionMaker
from bench.support.load import Probe, probe_while
from bench.support.report import command, judge, milliseconds, numbers, show
from tests.support.marked_project import MarkedProject, kind_of
from tests.support.object_stores import S3Server
from tests.support.rig import Project, Rig

LEARNED_SECONDS = 30.0
BAR_MS = 300
PLANNED_EVERY = 8
PACE_SECONDS = 1.0
"""From one Submit to the next: a quick annotator."""

Row = dict[str, Any]


SPANS_BARS_MS = {64: 1000.0, 1000: 2000.0}
"""Texts with spans that are known -> milliseconds within which the next one is learned."""


def measure_learning(rig: Rig, number: int, labels: int, repeats: int, kind: type[Project] = Project) -> Row:
    """Latencies of `repeats` single annotations in a project that already holds `labels` labels."""
    stream = kind.stream()
    project = kind.learned(rig, number, labels, stream)
    seconds = [label_to_version(project, text, label) for text, label in itertools.islice(stream, repeats)]
    found = {"labels": labels, **milliseconds(seconds)}
    if kind is MarkedProject:
        found["learner_mb"] = rig.memory_mb().get("learner", 0)
        if (bar := next((ms for most, ms in sorted(SPANS_BARS_MS.items()) if labels <= most), None)) is not None:
            found |= judge(found["p50_ms"], "<=", bar, "ms p50")
    return found


def label_to_version(project: Project, text: str, label: Any) -> float:
    """Seconds from the webhook's reply until a reply of /predict carries a version newer than before."""
    project.predict([text])
    before = project.setup()
    project.annotate(text, label)
    began = time.perf_counter()
    while project.setup() == before:
        if time.perf_counter() - began > LEARNED_SECONDS:
            raise TimeoutError(f"no new version after {LEARNED_SECONDS} s; still {before}")
        time.sleep(0.005)
    reply = project.predict([text])[0]
    elapsed = time.perf_counter() - began
    if reply["model_version"] == before:
        raise AssertionError("/setup reported a new version but /predict answered with the old one")
    project.settle(quiet=0.5)
    return elapsed


def measure_next_task(
    rig: Rig, stores: Stores, number: int, labels: int, pool: int, repeats: int, kind: type[Project] = Project
) -> Row:
    """Latencies of one project that holds `labels` labels and `pool` unlabelled texts."""
    stream, source = kind.stream(), "text.page" if kind is MarkedProject else "text"
    texts = [text for text, _ in itertools.islice(stream, pool)]
    project = kind.of_sample(rig, number)
    project.setup()
    stores.projects.add_pool(number, {10_000_000 + row: {source: text} for row, text in enumerate(texts)}, pool)
    project.annotate_many(list(itertools.islice(stream, labels)))
    project.settle()
    read_all(stores, number, pool)
    seconds, plans, began = [], 0, time.monotonic()
    for turn, (text, label) in enumerate(itertools.islice(stream, repeats)):
        time.sleep(max(0.0, began + turn * PACE_SECONDS - time.monotonic()))
        if turn % PLANNED_EVERY == 0:
            plans += stores.task_queue.enqueue_plan(number)
        seconds.append(submit_to_next(project, text, label))
    found = milliseconds(seconds)
    return {"labels": labels, "pool": pool, "plans": plans, **found, **judge(found["p99_ms"], "<=", BAR_MS, "ms")}


def read_all(stores: Stores, number: int, pool: int, limit: float = 600.0) -> None:
    """Plans until every text has been read: from then on a plan reads the feature cache alone."""
    until = time.monotonic() + limit
    while stores.task_queue.plan(number).get("rows") != pool:
        stores.task_queue.enqueue_plan(number)
        if time.monotonic() > until:
            raise TimeoutError(f"the pool was not read in {limit:.0f} s")
        time.sleep(0.5)


def submit_to_next(project: Project, text: str, label: Any) -> float:
    """Seconds of a webhook, a /setup and the /predict of another task."""
    began = time.perf_counter()
    project.annotate(text, label)
    project.setup()
    project.predict([f"{text} {began}"])  # a text that nobody has read yet
    return time.perf_counter() - began


def next_tasks(rig: Rig, labels: list[int], pool: int, repeats: int, kind: type[Project]) -> Iterator[Row]:
    """A row per number of labels."""
    with closing(Stores(Settings(data_dir=rig.data_dir, redis_url=""))) as stores:
        for index, count in enumerate(labels):
            yield measure_next_task(rig, stores, 200 + index, count, pool, repeats, kind)


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
        self.settings = Settings(data_dir=rig.data_dir)
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
            took_ms = milliseconds(answers.seconds)
            row: dict[str, Any] = {"load": load, "endpoint": probe.name, **took_ms, "failures": len(answers.failures)}
            row["client_p99_ms"] = milliseconds(answers.waits)["p99_ms"]
            row |= judge(took_ms["p99_ms"], "<=", BARS[probe.name], "ms p99")
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


def under_load(args: Namespace) -> None:
    """Every load in turn, and the rows of all, also where one of them fails."""
    usual = "idle,labels,predicts" if args.spans else "idle,labels,predicts,fine-tune,swaps,all"
    with Rig(FINETUNE_STEPS=STEPS) as rig:
        bench = Bench(rig, args.swaps, kind_of(args.spans))
        if not args.spans:
            bench.prepare()
        rows = []
        try:
            for load in (args.loads or usual).split(","):
                rows += bench.measure(load, args.seconds)
        finally:
            title = "latency of /health, /setup and webhooks under load"
            show(f"{title}{', spans' if args.spans else ''}", rows, args.json)


def with_stores(args: Namespace) -> None:
    """One product after the other, each with another store."""
    rows = []
    for name in args.stores.split(","):
        with store_of(name) as environment, Rig(None, None, timed=False, **environment) as rig:
            for index, count in enumerate(args.labels or [64]):
                rows.append({"store": name, **measure_learning(rig, 100 + index, count, args.repeats or 20)})
    show("learn latency with versions in an object store", rows, args.json)


@contextmanager
def store_of(name: str) -> Iterator[Mapping[str, str]]:
    """What an environment must hold for the store of this name: none, file, s3 or s3+<milliseconds>."""
    if name == "none":
        yield {}
    elif name == "file":
        with TemporaryDirectory(prefix="us-store-") as folder:
            yield {"ARTIFACTS_URL": f"file://{folder}"}
    else:
        server = S3Server(seconds=float(name.partition("+")[2] or 0) / 1000)
        try:
            yield {"ARTIFACTS_URL": server.url, **server.environment}
        finally:
            server.close()


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    parser.add_argument("--next-task", action="store_true")
    parser.add_argument("--under-load", action="store_true")
    parser.add_argument("--spans", action="store_true")
    parser.add_argument("--stores", default="")
    parser.add_argument("--labels", type=numbers)
    parser.add_argument("--pool", type=int, default=4000)
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--seconds", type=float, default=25.0)
    parser.add_argument("--loads", default="")
    parser.add_argument("--swaps", type=int, default=50)
    args = parser.parse_args()
    if args.stores:
        return with_stores(args)
    if args.under_load:
        under_load(args)
        return
    kind, of_spans = kind_of(args.spans), ", spans" if args.spans else ""
    with Rig() as rig:
        if args.next_task:
            rows = list(next_tasks(rig, args.labels or [64, 1000], args.pool, args.repeats or 200, kind))
            title = "an annotator's wait on our side, Submit -> next task, while the queue is planned"
            show(f"{title}{of_spans}", rows, args.json)
            return
        counts = enumerate(args.labels or [16, 64, 256, 1000])
        rows = [measure_learning(rig, 100 + index, count, args.repeats or 30, kind) for index, count in counts]
    show(f"learn latency: webhook reply -> new version in /setup and /predict{of_spans}", rows, args.json)


if __name__ == "__main__":
    main()
