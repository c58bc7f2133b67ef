"""Who is alive and what runs is told by what Redis lets run out, whoever was killed amid what."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from backend.redis_access.workers import SILENT_SECONDS, Workers, read_workers
from backend.settings.settings import Settings
from tests.faults.test_trainings import wait_until
from tests.support.tiny import PROJECT, Letters, letters, settings, start_apart, tiny_base  # noqa: F401


def work(settings: Settings, queue: str) -> None:
    """A worker that shows a sign of life ten times a second, and whose refits never end."""
    import threading
    from functools import partial

    from backend.jobs.learn import refit
    from backend.workers import worker
    from backend.workers.worker import build_worker

    worker.SignsOfLife = partial(worker.SignsOfLife, seconds=0.1)  # type: ignore[misc,assignment]
    refit.learn = lambda work, project: str(threading.Event().wait(600))  # type: ignore[assignment]
    build_worker(settings, queue).work(burst=True)


def look(settings: Settings) -> Workers:
    from backend.store.stores import Stores

    stores = Stores(settings)
    try:
        return read_workers(stores._redis)
    finally:
        stores.close()


@pytest.mark.redis
def test_a_worker_that_was_killed_amid_a_job_neither_lives_nor_runs_it(context: Any, letters: Letters) -> None:
    given, redis = context.settings, context.stores._redis
    assert set(look(given).running.values()) == {0}
    context.stores.jobs.enqueue_refit(PROJECT)
    assert (look(given).waiting["learn"], look(given).running["learn"]) == (1, 0)
    process = start_apart(work, given, "learn")
    wait_until(lambda: look(given).running["learn"] == 1, "the refit is running")
    assert (look(given).alive["learn"], look(given).waiting["learn"]) == (1, 0)
    (name,) = look(given).names["learn"]
    assert 0 < redis.ttl(f"rq:worker:{name}") <= SILENT_SECONDS, "not for as long as the job might take"
    redis.delete(f"rq:worker:{name}", f"rq:worker:{name}:executions")
    redis.srem("rq:workers:learn", f"rq:worker:{name}")
    wait_until(lambda: look(given).running["learn"] == 1, "a Redis that was away for long is told again")
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    redis.delete(f"rq:worker:{name}")  # as when it has run out
    assert (look(given).alive["learn"], look(given).running["learn"]) == (0, 0)
    assert redis.zcard("rq:wip:learn") == 1, "RQ still takes it for running"
