"""Which worker processes show signs of life, read off RQ's own records."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone

from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from backend.redis_access.connection import Client, guarded
from backend.redis_access.keys import SCHEDULER_LEASE

SILENT_SECONDS = 90.0
"""An idle worker beats every 15 s; one that works says nothing until its job is over, and counts as alive."""

QUEUES = ("learn", "train", "sync", "predict")


@dataclass(frozen=True)
class Workers:
    """Of each queue: the workers alive, by name, and the jobs waiting; and the active scheduler ("": none)."""

    names: dict[str, tuple[str, ...]]
    waiting: dict[str, int]
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
    pipeline.get(SCHEDULER_LEASE)
    *replies, scheduler = pipeline.execute()
    names = [(queue, name) for queue, found in zip(QUEUES, replies[::2], strict=True) for name in found]
    for _, name in names:
        pipeline.hmget(name, "last_heartbeat", "state")
    alive: dict[str, tuple[str, ...]] = dict.fromkeys(QUEUES, ())
    for (queue, name), (beat, state) in zip(names, pipeline.execute() if names else [], strict=True):
        if state == "busy" or age(beat) < SILENT_SECONDS:
            alive[queue] += (name.removeprefix("rq:worker:"),)
    return Workers(alive, dict(zip(QUEUES, map(int, replies[1::2]), strict=True)), str(scheduler or ""))


def age(beat: str | None) -> float:
    """Seconds since a time as RQ writes it; infinite for none."""
    if not beat:
        return float("inf")
    try:
        moment = datetime.fromisoformat(beat.replace("Z", "+00:00"))
    except ValueError:
        return float("inf")
    return time.time() - (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
