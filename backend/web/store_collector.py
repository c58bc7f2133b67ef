"""What /metrics reads off Redis when it is asked: what jobs did in other processes, and how every project stands.

Every replica of the web process shows the same values, so that alert rules take the maximum and not the sum.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.errors import StoreUnavailable
from backend.health.overview import Overview, OverviewReader, ProjectState
from backend.redis_access.workers import Workers
from backend.settings.settings import Settings
from backend.store.outbox.outbox import EndpointState
from backend.store.work.job_counters import DURATION_BUCKETS, JobCounters

log = logging.getLogger(__name__)

PROJECTS_SHOWN = 200
"""Projects with series of their own; all others together are `project="others"`."""


RESYNCED = ("cleared", "deleted", "removed", "stored")
"""Shown from 0 on: Prometheus sees no increase in a series that begins at 1."""


class StoreCollector(Collector):
    """A Prometheus collector that answers within seconds, also when Redis does not."""

    def __init__(self, settings: Settings) -> None:
        self._data_dir = settings.data_dir
        self._reader = OverviewReader(settings)

    def collect(self) -> Iterator[Metric]:
        """All families, read now."""
        yield from self._disk()
        try:
            overview = self._reader.read()
        except StoreUnavailable as error:
            log.debug("metrics without redis: %s", error.message)
            yield GaugeMetricFamily("understudy_redis_up", "1 when Redis answers.", value=0)
            return
        yield GaugeMetricFamily("understudy_redis_up", "1 when Redis answers.", value=1)
        yield from redis_metrics(overview)
        yield from worker_metrics(overview.workers)
        ahead = "Seconds by which a machine's clock is ahead of Redis's."
        clocks = GaugeMetricFamily("understudy_clock_ahead_seconds", ahead, labels=["host"])
        for host, seconds in overview.clocks.items():
            clocks.add_metric([host], seconds)
        yield clocks
        yield from job_metrics(overview.tally)
        yield from notification_metrics(overview.endpoints)
        yield from project_metrics(overview.projects)

    def close(self) -> None:
        """Its connection to Redis."""
        self._reader.close()

    def _disk(self) -> Iterator[Metric]:
        try:
            disk = shutil.disk_usage(self._data_dir)
        except OSError:
            return
        yield GaugeMetricFamily("understudy_disk_free_bytes", "Free space of DATA_DIR.", value=disk.free)
        yield GaugeMetricFamily("understudy_disk_bytes", "Size of DATA_DIR's file system.", value=disk.total)


def redis_metrics(overview: Overview) -> Iterator[Metric]:
    safe = "1 when Redis writes every label to disk before it says so, and never evicts."
    yield GaugeMetricFamily("understudy_redis_safe", safe, value=not overview.unsafe)
    writes = "1 when Redis's last write to its append-only file succeeded."
    yield GaugeMetricFamily("understudy_redis_writes_ok", writes, value=overview.writes_ok)
    yield GaugeMetricFamily("understudy_redis_memory_bytes", "Memory that Redis uses.", value=overview.memory_bytes)
    yield GaugeMetricFamily("understudy_projects", "Projects known.", value=len(overview.projects) + overview.unread)
    audited = "Actions of admins in the audit log, which keeps the last 100,000."
    yield GaugeMetricFamily("understudy_audit_entries", audited, value=overview.audited)
    unread = "Projects for which this scrape had no time."
    yield GaugeMetricFamily("understudy_projects_unread", unread, value=overview.unread)


def worker_metrics(workers: Workers) -> Iterator[Metric]:
    """The processes behind the queues."""
    alive = GaugeMetricFamily("understudy_workers", "Worker processes that show signs of life.", labels=["queue"])
    waiting = GaugeMetricFamily("understudy_jobs_waiting", "Jobs that nobody has begun.", labels=["queue"])
    running = GaugeMetricFamily("understudy_jobs_running", "Jobs that a living worker has begun.", labels=["queue"])
    for queue, count in workers.alive.items():
        alive.add_metric([queue], count)
        waiting.add_metric([queue], workers.waiting[queue])
        running.add_metric([queue], workers.running[queue])
    yield alive
    yield waiting
    yield running
    yield GaugeMetricFamily("understudy_scheduler_up", "1 when a scheduler is active.", value=bool(workers.scheduler))


def job_metrics(tally: JobCounters) -> Iterator[Metric]:
    """Jobs by kind: outcomes and durations; and what reconciliations changed."""
    jobs = CounterMetricFamily("understudy_jobs", "Jobs that ended, by outcome.", labels=["kind", "outcome"])
    for (kind, outcome), count in sorted(tally.jobs.items()):
        jobs.add_metric([kind, outcome], count)
    yield jobs
    seconds = HistogramMetricFamily("understudy_job_seconds", "How long jobs took.", labels=["kind"])
    for kind, total in sorted(tally.seconds.items()):
        bounds = [*map(str, DURATION_BUCKETS), "inf"]
        counts = accumulate(tally.slower.get((kind, bound), 0.0) for bound in bounds)
        seconds.add_metric([kind], list(zip([*bounds[:-1], "+Inf"], counts, strict=True)), sum_value=total)
    yield seconds
    resynced = CounterMetricFamily(
        "understudy_resynced", "Annotations that a reconciliation put right.", labels=["outcome"]
    )
    for outcome, count in sorted({**dict.fromkeys(RESYNCED, 0.0), **tally.resynced}.items()):
        resynced.add_metric([outcome], count)
    yield resynced


def notification_metrics(endpoints: Mapping[str, EndpointState]) -> Iterator[Metric]:
    """The endpoints of NOTIFY_URL, by their hosts."""
    well = GaugeMetricFamily(
        "understudy_notify_up", "1 when an endpoint took the last event, or none was sent.", labels=["endpoint"]
    )
    waiting = GaugeMetricFamily("understudy_notify_waiting", "Events that wait for an endpoint.", labels=["endpoint"])
    outcomes = CounterMetricFamily(
        "understudy_notify_events",
        "Events by what became of them, and attempts in vain.",
        labels=["endpoint", "outcome"],
    )
    for name, state in endpoints.items():
        well.add_metric([name], state.is_well and not state.gone)
        waiting.add_metric([name], state.waiting)
        for outcome in ("delivered", "later", "given_up", "dropped"):
            outcomes.add_metric([name, outcome], getattr(state, outcome))
    yield from (well, waiting, outcomes)


Value = Callable[[ProjectState], float]

OF_PROJECTS: tuple[tuple[str, str, Value], ...] = (
    ("examples", "Annotations stored.", lambda state: state.examples),
    ("examples_pending", "Annotations changed since the newest trained model's snapshot.", lambda state: state.pending),
    ("changes_unlearned", "Changes that no refit has seen.", lambda state: state.unlearned),
    ("resync_drift", "Annotations that the last good reconciliation had to change.", lambda state: state.drift),
    ("resync_failing", "1 when the last reconciliation failed.", lambda state: state.sync_failed),
    ("queue_labels_last", "The last labels of steered projects, 20 at most.", lambda state: state.handed.labels),
    ("queue_labels_handed", "Those of tasks that the queue handed out.", lambda state: state.handed.of_queue),
    ("dirty", "1 when something may have been missed and a reconciliation is due.", lambda state: state.dirty),
)
"""Series of a project; of several projects together they add up."""

PROJECT_MOMENTS: tuple[tuple[str, str, Value], ...] = (
    ("live_version_timestamp_seconds", "When the live version became live.", lambda state: state.published_at),
    ("resync_success_timestamp_seconds", "The last reconciliation that succeeded.", lambda state: state.synced_at),
    ("training_started_timestamp_seconds", "When the running fine-tune began.", lambda state: state.training_since),
)
"""Moments of a project, left out when there is none; of several projects together the earliest."""


def project_metrics(states: list[ProjectState]) -> Iterator[Metric]:
    """Every project's series, for the first PROJECTS_SHOWN of them; the others in one."""
    shown, others = states[:PROJECTS_SHOWN], states[PROJECTS_SHOWN:]
    for name, text, value in OF_PROJECTS:
        family = GaugeMetricFamily(f"understudy_{name}", text, labels=["project"])
        for state in shown:
            family.add_metric([str(state.project)], value(state))
        if others:
            family.add_metric(["others"], sum(map(value, others)))
        yield family
    for name, text, value in PROJECT_MOMENTS:
        family = GaugeMetricFamily(f"understudy_{name}", text, labels=["project"])
        for state in shown:
            if moment := value(state):
                family.add_metric([str(state.project)], moment)
        if earliest := min(filter(None, map(value, others)), default=0):
            family.add_metric(["others"], earliest)
        yield family
    yield _failures(shown, others)


def _failures(shown: Iterable[ProjectState], others: Iterable[ProjectState]) -> Metric:
    family = GaugeMetricFamily(
        "understudy_failures_in_a_row", "Jobs of a project that failed one after the other.", labels=["project", "kind"]
    )
    for state in shown:
        for kind, count in state.failures.items():
            family.add_metric([str(state.project), kind], count)
    worst: dict[str, int] = {}
    for state in others:
        for kind, count in state.failures.items():
            worst[kind] = max(worst.get(kind, 0), count)
    for kind, count in worst.items():
        family.add_metric(["others", kind], count)
    return family
