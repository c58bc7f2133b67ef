"""SIGTERM: what is nearly done is finished, a training writes where it stands, the rest goes to another worker; and
nothing of it counts as a failure."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from backend.jobs.context import Context
from backend.redis_access.workers import read_workers
from backend.settings.settings import Settings
from backend.store.stores import Stores
from tests.faults.test_trainings import ask, trainings, wait_until
from tests.support.tiny import PROJECT, Letters, letters, settings, start_apart, tiny_base  # noqa: F401

pytestmark = pytest.mark.redis

BEGUN = "test:begun"
"""Key that the refit sets once it runs."""


def environment(given: Settings) -> dict[str, str]:
    """Of a process with these settings."""
    names = ("data_dir", "redis_url", "base_model", "finetune_steps", "finetune_enabled", "stop_seconds")
    return {**os.environ, **{name.upper(): str(getattr(given, name)) for name in names}, "ADMIN_TOKEN": "admin"}


@contextmanager
def running(given: Settings, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the product, killed at the end whatever happens."""
    process = subprocess.Popen([sys.executable, "-m", "backend", *command], env=environment(given))
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_training_writes_where_it_stands_and_another_worker_goes_on_from_there(
    context: Any, letters: Letters
) -> None:
    given, stores = context.settings.model_copy(update={"finetune_steps": 150}), context.stores
    letters.add(40)
    job = ask(stores)
    directory = given.runs_dir / job
    with running(given, "trainer") as first:
        wait_until(lambda: stores.jobs.get(job).get("step", 0) > 0 and trainings(job), "steps")
        first.send_signal(signal.SIGTERM)
        assert first.wait(40) == 0
    assert trainings(job) == [], "no process is left"
    assert list(directory.glob("*.safetensors")), "where it stands"
    record = stores.jobs.get(job)
    assert (record["status"], record["attempts"], record["stops"]) == ("queued", 1, 1)
    assert read_workers(stores._redis).waiting["train"] == 1, "nobody has to find it first"
    stood = record["step"]
    with running(given, "trainer", "--burst") as second:
        wait_until(lambda: stores.jobs.get(job)["attempts"] == 2 and stores.jobs.get(job).get("step", 0) >= stood, "on")
        assert second.wait(200) == 0, "one job, and the end"
    record = stores.jobs.get(job)
    assert record["status"] in ("done", "rejected") and stores.failures.describe(PROJECT) == {}
    assert stores.counters.read().jobs["train", "stopped"] == 1


@pytest.mark.timeout(120)
def test_trainings_that_are_stopped_again_and_again_do_not_count_as_lost(context: Any, letters: Letters) -> None:
    """A cluster that takes its machines away every hour ends no training for good."""
    from backend.jobs.train.train import train

    context.settings = context.settings.model_copy(update={"finetune_steps": 400})  # each attempt comes a step further
    letters.add(40)
    stores, job = context.stores, ask(context.stores)
    context.stop()
    for number in range(1, 8):
        assert train(job) == "stopped"
        record = stores.jobs.get(job)
        assert (record["attempts"], record["stops"], record["status"]) == (number, number, "queued")
    assert stores.failures.describe(PROJECT) == {}


def refit_slowly(given: Settings, seconds: float) -> None:
    """A learner whose refits take so long, as many small steps."""
    from backend.jobs.learn import refit
    from backend.workers.worker import build_worker

    def learn(work: Context, project: int) -> str:
        work.stores._redis.set(BEGUN, 1)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.05)
        return "unchanged"

    refit.learn = learn
    build_worker(given, "learn").work(burst=True)


def stop_amid_a_refit(given: Settings, stores: Stores, seconds: float) -> float:
    """Seconds from the signal to the end of a learner whose refit takes `seconds`."""
    stores.jobs.enqueue_refit(PROJECT)
    process = start_apart(refit_slowly, given, seconds)
    wait_until(lambda: stores._redis.exists(BEGUN), "the refit has begun, and not only been taken")
    began = time.monotonic()
    os.kill(process.pid, signal.SIGTERM)
    process.join(30)
    assert process.exitcode == 0
    return time.monotonic() - began


def test_a_refit_is_finished(context: Any, letters: Letters) -> None:
    stores = context.stores
    stop_amid_a_refit(context.settings.model_copy(update={"stop_seconds": 20}), stores, 2.0)
    assert stores.counters.read().jobs == {("refit", "unchanged"): 1}
    assert read_workers(stores._redis).waiting["learn"] == 0 and stores.failures.describe(PROJECT) == {}


def test_a_refit_that_takes_too_long_goes_to_the_next_learner_and_has_not_failed(
    context: Any, letters: Letters
) -> None:
    stores = context.stores
    stores.failures.begin(PROJECT, "refit")
    stores.failures.fail(PROJECT, "refit", "of long ago")
    stores.failures.release(PROJECT, "refit")
    stop_amid_a_refit(context.settings.model_copy(update={"stop_seconds": 1}), stores, 60.0)
    assert stores.counters.read().jobs == {("refit", "stopped"): 1}
    assert read_workers(stores._redis).waiting["learn"] == 1, "and nobody has to ask for it"
    assert stores.failures.waits(PROJECT, "refit") == 0
    assert stores.failures.begin(PROJECT, "refit") == 0
    assert stores.failures.describe(PROJECT)["refit"]["failures"] == 1, "the one of long ago"


def test_a_worker_of_one_job_ends_at_once_when_none_waits(context: Any) -> None:
    for name in ("trainer", "sync"):
        with running(context.settings, name, "--burst") as process:
            assert process.wait(60) == 0
