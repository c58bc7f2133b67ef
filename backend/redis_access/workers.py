"""Which worker processes show signs of life, what they work on and what waits, read off RQ's own records."""

from __future__ import annotations

from dataclasses import dataclass

from rq.registry import StartedJobRegistry
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from backend.redis_access.connection import Client, guarded
from backend.redis_access.keys import SCHEDULER_LEASE

SILENT_SECONDS = 90
"""A worker's record runs out after so long without a sign of life, which it gives every 15 s, also while it works: by
Redis's clock, not by those of two machines."""

QUEUES = ("learn", "train", "sync", "predict", "files")


@dataclass(frozen=True)
class Workers:
    """Of each queue: the workers alive, by name, the jobs waiting, and those that a worker alive has begun; and the
    active scheduler ("": none)."""

    names: dict[str, tuple[str, ...]]
    waiting: dict[str, int]
    running: dict[str, int]
    scheduler: str

    @property
    def alive(self) -> dict[str, int]:
        """How many workers each queue has."""
        return {queue: len(names) for queue, names in self.names.items()}


@guarded
def read_workers(client: Client) -> Workers:
    """Two round trips. `client` decodes replies."""
    pipeline = client.pipeline(transaction=False)
    for queue in QUEUES:
        pipeline.smembers(WORKERS_BY_QUEUE_KEY % queue)
        pipeline.llen(f"rq:queue:{queue}")
        pipeline.zrange(StartedJobRegistry.key_template.format(queue), 0, -1)
    pipeline.get(SCHEDULER_LEASE)
    *replies, scheduler = pipeline.execute()
    members, waiting, begun = (dict(zip(QUEUES, replies[place::3], strict=True)) for place in range(3))
    names = sorted({name for found in members.values() for name in found})
    for name in names:
        pipeline.exists(name)
        pipeline.smembers(f"{name}:executions")
    found = pipeline.execute() if names else []
    alive = {name for name, exists in zip(names, found[::2], strict=True) if exists}
    held = {job for name, jobs in zip(names, found[1::2], strict=True) if name in alive for job in jobs}
    return Workers(
        names={
            queue: tuple(sorted(name.removeprefix("rq:worker:") for name in members[queue] if name in alive))
            for queue in QUEUES
        },
        waiting={queue: int(count) for queue, count in waiting.items()},
        # What a dead worker had begun stays in the registry for as long as it might have taken.
        running={queue: len(held.intersection(jobs)) for queue, jobs in begun.items()},
        scheduler=str(scheduler or ""),
    )
