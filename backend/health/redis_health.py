"""The state of Redis: version, persistence, clock, and the workers on its queues."""

from __future__ import annotations

from dataclasses import dataclass

from backend.redis_access.clocks import measure, read_clocks
from backend.redis_access.connection import connect, find_problems, guarded
from backend.redis_access.workers import Workers, read_workers
from backend.settings.settings import Settings
from backend.store.projects import ProjectStore


@dataclass(frozen=True)
class Health:
    """`problems`: settings that could lose a label. `clock_ahead`: seconds by which its clock is ahead of ours;
    `clocks`: of each machine, by which that one's is ahead of Redis's."""

    version: str
    problems: list[str]
    writes_ok: bool
    clock_ahead: float
    memory_bytes: int
    workers: Workers
    clocks: dict[str, float]
    projects: list[int]


@guarded
def examine(settings: Settings) -> Health:
    """Asks the Redis of `settings`. Raises StoreUnavailable when it does not answer."""
    with connect(settings, retries=0) as client:
        clock = -measure(client)[0]
        info = client.info()
        return Health(
            version=f"{info.get('server_name', 'redis')} {info['redis_version']}",
            problems=find_problems(client),
            writes_ok=info.get("aof_last_write_status", "ok") == "ok",
            clock_ahead=clock,
            memory_bytes=int(info["used_memory"]),
            workers=read_workers(client),
            clocks=read_clocks(client),
            projects=ProjectStore(client).projects(),
        )
