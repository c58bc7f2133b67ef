"""The state of Redis and of all projects at a glance, for /metrics: few round trips, and bounded in time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from backend.outcomes import FINAL_STATES
from backend.redis_access.clocks import read_clocks
from backend.redis_access.connection import Client, connect, find_problems, guarded
from backend.redis_access.keys import AUDIT, PROJECTS, TALLIES, job_key, project_key
from backend.redis_access.workers import Workers, read_workers
from backend.settings.settings import Settings
from backend.store.label_stream import SHARE_LABELS, Handed, count_handed, handed_key
from backend.store.outbox.endpoint import endpoints_of
from backend.store.outbox.outbox import EndpointState, OutboxStore
from backend.store.work.job_counters import JobCounters, parse_counters

REPLY_SECONDS = 1.0
"""How long one reply may take: Prometheus gives a scrape 10 s."""

READ_SECONDS = 3.0
"""After so long no more projects are read."""

REDIS_BATCH_PROJECTS = 100

FAILURES_SUFFIX = ":failures"
"""Of the fields in `trouble`: `<kind>:failures`."""


@dataclass(frozen=True)
class ProjectState:
    """One project. Times are epoch seconds, 0 for never."""

    project: int
    examples: int
    pending: int
    unlearned: int
    published_at: float
    synced_at: float
    drift: int
    sync_failed: bool
    dirty: bool
    failures: dict[str, int]
    training_since: float
    handed: Handed


@dataclass(frozen=True)
class Overview:
    """`unsafe`: what could lose a label. `clocks`: host -> seconds by which its clock is ahead of Redis's.
    `endpoints`: of NOTIFY_URL, by name. `unread`: projects for which there was no time."""

    unsafe: list[str]
    writes_ok: bool
    memory_bytes: int
    workers: Workers
    clocks: dict[str, float]
    tally: JobCounters
    endpoints: dict[str, EndpointState]
    audited: int
    projects: list[ProjectState]
    unread: int


class OverviewReader:
    """Has a connection of its own with little patience. `read` raises StoreUnavailable."""

    def __init__(self, settings: Settings) -> None:
        self._redis: Client = connect(settings, seconds=REPLY_SECONDS, retries=0)
        self._outbox = OutboxStore(self._redis, endpoints_of(settings))

    @guarded
    def read(self, seconds: float = READ_SECONDS) -> Overview:
        """Everything, except projects for which `seconds` do not suffice."""
        deadline = time.monotonic() + seconds
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.info()
        pipeline.hgetall(TALLIES)
        pipeline.smembers(PROJECTS)
        pipeline.xlen(AUDIT)
        info, tallies, members, audited = pipeline.execute()
        known = sorted(int(item) for item in members)
        states: list[ProjectState] = []
        for start in range(0, len(known), REDIS_BATCH_PROJECTS):
            if time.monotonic() > deadline:
                break
            states += self._states(known[start : start + REDIS_BATCH_PROJECTS])
        return Overview(
            unsafe=find_problems(self._redis),
            writes_ok=info.get("aof_last_write_status", "ok") == "ok",
            memory_bytes=int(info.get("used_memory", 0)),
            workers=read_workers(self._redis),
            clocks=read_clocks(self._redis),
            tally=parse_counters(tallies),
            endpoints={endpoint.name: self._outbox.state(endpoint) for endpoint in self._outbox.endpoints},
            audited=int(audited),
            projects=states,
            unread=len(known) - len(states),
        )

    def close(self) -> None:
        self._redis.close()

    def _states(self, projects: Sequence[int]) -> Iterator[ProjectState]:
        pipeline = self._redis.pipeline(transaction=False)
        for project in projects:
            pipeline.hlen(project_key(project, "ex"))
            for name in ("seq", "trained", "fitted", "job", "pinned"):
                pipeline.get(project_key(project, name))
            pipeline.lindex(project_key(project, "hist"), 0)
            pipeline.hmget(project_key(project, "meta"), "sync", "dirty")
            pipeline.hgetall(project_key(project, "trouble"))
            pipeline.zrange(handed_key(project), -SHARE_LABELS, -1)
        replies = pipeline.execute()
        size = len(_Read._fields)
        rows = [_Read(*replies[start : start + size]) for start in range(0, len(replies), size)]
        for project, row in zip(projects, rows, strict=True):
            pipeline.zcount(project_key(project, "log"), f"({int(row.trained or 0)}", "+inf")
            pipeline.hmget(job_key(row.job or ""), "status", "started_at")
        late = pipeline.execute()
        for place, (project, row) in enumerate(zip(projects, rows, strict=True)):
            yield _state(project, row, *late[2 * place : 2 * place + 2])


class _Read(NamedTuple):
    """What the first round trip answers of one project."""

    examples: int
    seq: str | None
    trained: str | None
    fitted: str | None
    job: str | None
    pinned: str | None
    moved: str | None
    flags: tuple[str | None, str | None]
    trouble: dict[str, str]
    handed: list[str]


def _state(project: int, row: _Read, pending: int, job: Sequence[str | None]) -> ProjectState:
    sync, dirty = row.flags
    last = json.loads(sync or "{}")
    status, started = job
    running = bool(status) and status not in FINAL_STATES
    return ProjectState(
        project=project,
        examples=row.examples,
        pending=int(pending),
        unlearned=0 if row.pinned else max(0, int(row.seq or 0) - int(row.fitted or 0)),
        published_at=float(json.loads(row.moved or "{}").get("at", 0)),
        synced_at=float(last.get("ok_at", 0 if last.get("error") else last.get("at", 0))),
        drift=int(last.get("drift", last.get("changed", 0))),
        sync_failed=bool(last.get("error")),
        dirty=bool(dirty),
        failures={
            name.removesuffix(FAILURES_SUFFIX): int(count)
            for name, count in row.trouble.items()
            if name.endswith(FAILURES_SUFFIX)
        },
        training_since=float(started or 0) if running else 0.0,
        handed=count_handed(row.handed),
    )
