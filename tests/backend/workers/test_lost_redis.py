"""Redis dies under a worker: the same process goes on when it is back, and nothing of it counts as a failure."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from backend.jobs.context import Context
from backend.redis_access.workers import read_workers
from backend.settings.settings import Settings
from backend.store.stores import Stores
from tests.conftest import RedisServer
from tests.faults.test_trainings import wait_until
from tests.support.tiny import PROJECT, Letters, letters, settings, start_apart, tiny_base  # noqa: F401

pytestmark = [pytest.mark.redis, pytest.mark.timeout(120)]

BEGUN, GO = "begun", "go"
"""Files: a refit has begun, with the process's id in it; it may end."""


@pytest.fixture
def redis_server(own_redis: RedisServer) -> RedisServer:
    """One that may be killed."""
    return own_redis


def work_slowly(given: Settings, touches: bool) -> None:
    """A learner whose refits wait for a file, and then ask Redis for something or not."""
    from backend.jobs.learn import refit
    from backend.processes.worker import _work

    def learn(work: Context, project: int) -> str:
        (given.data_dir / BEGUN).write_text(str(os.getpid()))
        while not (given.data_dir / GO).exists():
            time.sleep(0.02)
        if touches:
            work.stores.ping()
        return "unchanged"

    refit.learn = learn
    _work(given, "learn")


@pytest.fixture
def stores(context: Any) -> Stores:
    """Those of the process's settings."""
    return context.stores  # type: ignore[no-any-return]


@pytest.fixture(params=[True, False], ids=["asks-redis", "has-done"])
def learner(request: pytest.FixtureRequest, context: Any, stores: Stores) -> Iterator[Any]:
    """One in the middle of a refit."""
    process = start_apart(work_slowly, context.settings, request.param)
    stores.jobs.enqueue_refit(PROJECT)
    wait_until(lambda: (context.settings.data_dir / BEGUN).exists(), "the refit has begun")
    yield process
    process.kill()
    process.join(10)


def test_it_goes_on_when_redis_is_back_and_its_refit_has_not_failed(
    context: Any, stores: Stores, own_redis: RedisServer, learner: Any
) -> None:
    begun = context.settings.data_dir / BEGUN
    for _ in range(3):
        own_redis.kill()
        begun.unlink()
        (context.settings.data_dir / GO).touch()
        time.sleep(1.0)
        assert learner.is_alive()
        (context.settings.data_dir / GO).unlink()
        own_redis.start()
        stores.jobs.enqueue_refit(PROJECT)
        wait_until(begun.exists, "another refit has begun")
        assert begun.read_text() == str(learner.pid)
        assert len(read_workers(stores._redis).names["learn"]) == 1, "the one before is in no record"
    (context.settings.data_dir / GO).touch()
    wait_until(lambda: read_workers(stores._redis).running["learn"] == 0, "it is over")
    assert stores.failures.describe(PROJECT) == {} and stores.failures.waits(PROJECT, "refit") == 0
    os.kill(learner.pid, signal.SIGTERM)
    learner.join(20)
    assert learner.exitcode == 0


def test_a_signal_ends_it_while_redis_is_away(context: Any, own_redis: RedisServer, learner: Any) -> None:
    own_redis.kill()
    (context.settings.data_dir / GO).touch()
    time.sleep(1.0)
    assert learner.is_alive()
    os.kill(learner.pid, signal.SIGTERM)
    learner.join(20)
    assert learner.exitcode == 0
    own_redis.start()


def test_a_signal_amid_a_refit_ends_it_once_that_is_over_without_redis(
    context: Any, own_redis: RedisServer, learner: Any
) -> None:
    own_redis.kill()
    os.kill(learner.pid, signal.SIGTERM)
    (context.settings.data_dir / GO).touch()
    learner.join(20)
    assert learner.exitcode == 0
    own_redis.start()
