"""What one Redis holds: a project of very many labels, very many projects, and all that walks over the whole of either.

The parts of `python -m bench.scale --redis`: the real stores over a real Redis (AOF always), filled through their own
methods. `longest_ms` is the longest that one command kept Redis from everybody else, by its slow log: a webhook waits
that long at worst, and gives up after a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from backend.health.overview import OverviewReader
from backend.jobs.context import Context
from backend.labelstudio.records import ExampleRecord
from backend.processes.scheduler import Scheduler
from backend.store.stores import Stores
from bench.support.fixtures import Site, make_texts

Row = dict[str, Any]

PROJECT = 1
LABELS = [f"label {number}" for number in range(8)]
MOMENT = "2026-01-01T00:00:00Z"
CHUNK = 5_000

LABELS_OF_SMALL, POOL_OF_SMALL = 20, 20
"""What each of very many projects holds."""

CLIENTS = (1, 8, 32)
"""That store single labels at once: with AOF always those who wait together share a write to the disk."""

EVENTS = 3_000
"""At most of these are stored to find a rate."""

CONFIG = (
    '<View><Text name="text" value="$text"/><Choices name="label" toName="text">'
    + "".join(f'<Choice value="{label}"/>' for label in LABELS)
    + "</Choices></View>"
)


class Gauge:
    """Reads off a Redis what some work costs it."""

    def __init__(self, site: Site) -> None:
        self.site, self.redis = site, site.services.stores.client
        self.redis.config_set("slowlog-log-slower-than", 500)

    def measure(self, n: int, what: str, work: Callable[[], Any]) -> Row:
        """One row: wall time, CPU time of this thread and of Redis, and the longest command."""
        self.redis.slowlog_reset()
        redis, own, began = self.site.redis_seconds(), time.thread_time(), time.perf_counter()
        work()
        wall, own, redis = time.perf_counter() - began, time.thread_time() - own, self.site.redis_seconds() - redis
        slowest = max((entry["duration"] for entry in self.redis.slowlog_get(128)), default=0)
        return {
            "n": n,
            "what": what,
            "seconds": round(wall, 3),
            "cpu_s": round(own, 3),
            "redis_cpu_s": round(redis, 3),
            "longest_ms": round(slowest / 1000, 1),
        }

    def memory(self) -> int:
        """Bytes that Redis's data takes."""
        return int(self.redis.info("memory")["used_memory"])


def labelled(numbers: range) -> list[ExampleRecord]:
    """An annotation each of a task of its own, texts of 6 to 60 words (200 characters on average)."""
    texts = make_texts(len(numbers), numbers.start)
    return [
        ExampleRecord(n, n, {"text": text[0]}, {"label": [[LABELS[n % len(LABELS)]]]}, MOMENT, 1)
        for n, text in zip(numbers, texts, strict=True)
    ]


def fill(stores: Stores, project: int, first: int, last: int) -> None:
    """Labels `first` to `last` - 1 of a project."""
    for start in range(first, last, CHUNK):
        stores.examples.upsert_many(project, labelled(range(start, min(start + CHUNK, last))))


def measure_labels(folder: Path, most: int) -> Iterator[tuple[str, list[Row]]]:
    """One project that grows to `most` labels by powers of ten: what it takes, and what walks over it."""
    sizes = [most // 10**power for power in (2, 1, 0) if most // 10**power]
    with Site(folder, poll_seconds=2.0) as site:
        gauge, stores = Gauge(site), site.services.stores
        site.projects.add(PROJECT)
        site.wait_for(PROJECT)
        held: list[Row] = []
        walks: list[Row] = []
        before, empty = 0, gauge.memory()
        for size in sizes:
            filled = gauge.measure(size, "", lambda before=before, size=size: fill(stores, PROJECT, before, size))  # type: ignore[misc]
            held.append(_holding(site, gauge, size, size - before, filled, empty))
            walks += list(walk_project(site, gauge, size))
            before = size
        yield "what labels of one project take", held
        yield "what walks over one project", walks
        yield f"single labels a second, at {most} labels", list(measure_events(site, most))
        yield "the append-only file", list(measure_log(site, gauge, most))


def _holding(site: Site, gauge: Gauge, size: int, new: int, filled: Row, empty: int) -> Row:
    log = sum(path.stat().st_size for path in site.settings.redis_socket.parent.rglob("*.aof"))
    return {
        "labels": size,
        "memory_mb": round((gauge.memory() - empty) / 2**20),
        "bytes_a_label": round((gauge.memory() - empty) / size),
        "log_bytes_a_label": round(log / size),
        "labels_a_second_in_bulk": round(new / filled["seconds"]),
        "longest_ms": filled["longest_ms"],
    }


def walk_project(site: Site, gauge: Gauge, size: int) -> Iterator[Row]:
    """What reads or writes a project as a whole."""
    stores = site.services.stores
    bearer = {"Authorization": "Bearer bench"}
    kept: list[Any] = []
    yield gauge.measure(
        size, "status", lambda: site.client.get(f"/admin/projects/{PROJECT}", headers=bearer).get_data()
    )
    yield gauge.measure(size, "metrics", lambda: site.client.get("/metrics").get_data())
    yield gauge.measure(size, "snapshot of a refit", lambda: kept.append(stores.examples.snapshot(PROJECT)))
    records = kept.pop().records
    since, clock = stores.examples.seq(PROJECT), stores.examples.clock(PROJECT)
    yield gauge.measure(
        size, "reconcile, nothing new", lambda: stores.examples.reconcile(PROJECT, records, since, clock)
    )
    yield gauge.measure(size, "tasks that are answered", lambda: stores.examples.touched(PROJECT))
    yield gauge.measure(size, "tasks and annotations", lambda: stores.examples.task_pairs(PROJECT))
    yield gauge.measure(size, "what is pending", lambda: stores.examples.pending(PROJECT))
    yield gauge.measure(size, "changed since the start", lambda: stores.examples.changed_since(PROJECT, 0))


def measure_events(site: Site, most: int) -> Iterator[Row]:
    """Labels that come one by one, as events bring them, from more and more clients at once."""
    number = most + 1_000_000
    for clients in CLIENTS:
        each = max(1, min(EVENTS, most) // clients)
        own = [Stores(site.settings) for _ in range(clients)]
        rows = [labelled(range(number + place * each, number + (place + 1) * each)) for place in range(clients)]
        number += clients * each
        threads = [
            threading.Thread(target=_store_singly, args=(stores, some)) for stores, some in zip(own, rows, strict=True)
        ]
        cpu, began = site.redis_seconds(), time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall, cpu = time.perf_counter() - began, site.redis_seconds() - cpu
        for stores in own:
            stores.close()
        yield {
            "clients": clients,
            "labels": clients * each,
            "labels_a_second": round(clients * each / wall),
            "redis_cpu_us_a_label": round(1e6 * cpu / (clients * each)),
            "labels_a_second_by_cpu": round(clients * each / cpu) if cpu else "",
        }


def _store_singly(stores: Stores, records: list[ExampleRecord]) -> None:
    for record in records:
        stores.examples.upsert_many(PROJECT, [record])


def measure_log(site: Site, gauge: Gauge, most: int) -> Iterator[Row]:
    """What a rewriting of the append-only file takes, and a start from it."""
    redis = gauge.redis

    def rewrite() -> None:
        redis.bgrewriteaof()
        while redis.info("persistence")["aof_rewrite_in_progress"] or redis.info("persistence").get(
            "aof_rewrite_scheduled"
        ):
            time.sleep(0.05)

    yield gauge.measure(most, "rewritten", rewrite)
    fork = int(redis.info("stats")["latest_fork_usec"])
    yield {"n": most, "what": "the fork for it", "seconds": round(fork / 1e6, 3), "longest_ms": round(fork / 1000, 1)}
    began = time.perf_counter()
    site.restart_redis()
    yield {"n": most, "what": "killed and started again", "seconds": round(time.perf_counter() - began, 3)}


def measure_projects(folder: Path, most: int) -> Iterator[tuple[str, list[Row]]]:
    """More and more projects of a few labels each: what they take, and what walks over all of them."""
    sizes = [most // 10**power for power in (2, 1, 0) if most // 10**power]
    options = {"label_studio_url": "http://127.0.0.1:1", "label_studio_api_key": "bench"}
    with Site(folder, poll_seconds=60.0, **options) as site:
        gauge = Gauge(site)
        work = Context(site.settings)
        scheduler = Scheduler(work)
        held: list[Row] = []
        walks: list[Row] = []
        before, taken = 0, gauge.memory()
        for size in sizes:
            add_projects(work.stores, before + 1, size + 1)
            bytes_each = round((gauge.memory() - taken) / (size - before))
            held.append({"projects": size, "bytes_a_project": bytes_each, "labels_each": LABELS_OF_SMALL})
            before, taken = size, gauge.memory()
            walks += list(walk_all(site, gauge, scheduler, size))
        work.stores.close()
        yield "what projects take", held
        yield "what walks over all projects", walks


def add_projects(stores: Stores, first: int, last: int) -> None:
    """Projects `first` to `last` - 1, nothing due in any: learned, reconciled, with a few labels and texts."""
    records = labelled(range(1, LABELS_OF_SMALL + 1))
    pool = {1_000 + n: {"text": text[0]} for n, text in enumerate(make_texts(POOL_OF_SMALL, 3))}
    for project in range(first, last):
        stores.projects.save_config(project, CONFIG)
        stores.examples.upsert_many(project, records)
        stores.projects.add_pool(project, pool, POOL_OF_SMALL)
        stores.projects.note_sync(project, {"listed": LABELS_OF_SMALL, "drift": 0, "next": time.time() + 86_400})
        stores.versions.note_fitted(project, stores.examples.seq(project))


def walk_all(site: Site, gauge: Gauge, scheduler: Scheduler, size: int) -> Iterator[Row]:
    """What reads something of every project."""
    stores, overview = site.services.stores, OverviewReader(site.settings)
    known = stores.projects.projects()
    bearer = {"Authorization": "Bearer bench"}
    scheduler.tick()  # the first one marks every project and asks for plans
    scheduler.stores.projects.projects()
    for project in known:
        scheduler.stores.projects.note_sync(project, {"drift": 0, "next": time.time() + 86_400})
    yield gauge.measure(size, "tick of the scheduler", scheduler.tick)
    yield gauge.measure(size, "metrics", lambda: overview.read(600.0))
    yield gauge.measure(size, "poll of a web process", lambda: _poll(stores, known))
    yield gauge.measure(size, "status of all", lambda: site.client.get("/admin/projects", headers=bearer).get_data())
    overview.close()


def _poll(stores: Stores, known: list[int]) -> None:
    stores.projects.projects()
    stores.versions.live_of(known)
    stores.projects.all_spans_show(known)
