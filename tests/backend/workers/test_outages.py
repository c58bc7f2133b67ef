"""However long or often Redis was away, an idle worker takes the next job soon after it is back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backend.redis_access.workers import read_workers
from backend.settings.settings import Settings
from backend.store.stores import Stores
from tests.conftest import RedisServer
from tests.faults.test_trainings import wait_until
from tests.support.tiny import PROJECT, log_of, start_apart, tiny_base, tiny_settings  # noqa: F401

pytestmark = pytest.mark.redis

BEGUN = "test:begun"
"""Key that the refit sets."""

TRIES = 3
"""From the third on RQ would wait for four seconds and more."""


def work(settings: Settings, queue: str) -> None:
    """A worker whose refits say that they have begun."""
    from backend.jobs.context import context
    from backend.jobs.learn import refit
    from backend.workers.worker import build_worker

    refit.learn = lambda work, project: str(context().stores._redis.set(BEGUN, 1))
    build_worker(settings, queue).work()


def waits(settings: Settings) -> list[int]:
    """Seconds of each wait for Redis that the worker has announced."""
    return [int(found) for found in re.findall(r"retrying in (\d+) seconds", log_of(settings).read_text())]


def test_an_idle_worker_looks_every_other_second_whether_redis_is_back(
    own_redis: RedisServer, tmp_path: Path, tiny_base: Path
) -> None:
    given = tiny_settings(tmp_path / "data", own_redis.settings.effective_redis_url, tiny_base)
    process, stores = start_apart(work, given, "learn"), Stores(given)
    try:
        wait_until(lambda: read_workers(stores._redis).alive["learn"], "the worker is there")
        (name,) = read_workers(stores._redis).names["learn"]
        wait_until(lambda: stores._redis.hget(f"rq:worker:{name}", "state") == "idle", "it waits for jobs")
        own_redis.kill()
        wait_until(lambda: len(waits(given)) >= TRIES, "it sees that Redis is away")
        own_redis.start()
        assert max(waits(given)) <= 2, "and no longer each time"
        stores.jobs.enqueue_refit(PROJECT)
        wait_until(lambda: stores._redis.exists(BEGUN), "the refit begins")
        assert process.is_alive()
    finally:
        process.kill()
        process.join()
        stores.close()
