"""Row 39: the clocks of machines jump by an hour, and neither the order of events nor any lease is the worse for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from backend.processes.scheduler import Scheduler
from backend.redis_access.keys import SCHEDULER_LEASE, project_key
from tests.conftest import tick_later
from tests.support.events import create
from tests.support.tiny import PROJECT, Letters, letter_record, letters, settings, tiny_base  # noqa: F401

HOUR = 3600.0


class Clock:
    """time.time of this process, set forward or back at will."""

    def __init__(self) -> None:
        self.ahead, self._real = 0.0, time.time

    def __call__(self) -> float:
        return self._real() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock()
    monkeypatch.setattr(time, "time", made)
    return made


def set_back(stores: Any) -> None:
    """What setting its clock back by an hour does to Redis: everything that runs out does so an hour later."""
    for key in stores._redis.scan_iter():
        if (left := stores._redis.pttl(key)) > 0:
            stores._redis.pexpire(key, left + int(HOUR * 1000))


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_row_39_the_order_of_events_is_label_studios(client: Any, services: Any, clock: Clock, jump: float) -> None:
    assert create(client, 1, label="a", at=10).get_json()["outcomes"] == {"stored": 1}
    clock.ahead = jump
    assert create(client, 1, label="e", at=20).get_json()["outcomes"] == {"stored": 1}
    assert create(client, 1, label="a", at=10).get_json()["outcomes"] == {"stale": 1}
    snapshot = services.stores.examples.snapshot(PROJECT)
    assert snapshot.records[0].targets == {"label": [["e"]]} and snapshot.seq == 2


def test_row_39_what_is_deleted_while_a_listing_is_read_stays_so_though_redis_clock_goes_back(
    context: Any, letters: Letters
) -> None:
    letters.add(3)
    examples = context.stores.examples
    # As if all readings so far were of before the jump.
    context.stores._redis.set(project_key(PROJECT, "clock"), int((time.time() + HOUR) * 1e6))
    since, clock = examples.seq(PROJECT), examples.clock(PROJECT)
    listed = [letter_record(number) for number in range(3)]
    examples.remove(PROJECT, [2])
    examples.remove_tasks(PROJECT, [3])
    examples.reconcile(PROJECT, listed, since, clock)
    assert [record.annotation for record in examples.snapshot(PROJECT).records] == [1]
    examples.reconcile(PROJECT, listed, examples.seq(PROJECT), examples.clock(PROJECT))
    assert examples.count(PROJECT) == 3, "a listing that began later and still has them is believed"


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_row_39_a_training_is_alive_as_long_as_it_says_something_and_not_a_minute_longer(
    context: Any, letters: Letters, clock: Clock, jump: float
) -> None:
    jobs, scheduler = context.stores.jobs, Scheduler(context)
    record, _ = jobs.request_training(PROJECT, by="test", force=True)
    job, attempt = record["id"], jobs.begin(record["id"], PROJECT)
    for second in range(3):
        clock.ahead = jump * (second % 2)
        jobs.update(job, {"beat": time.time() + second}, attempt)
        tick_later(scheduler, 15)
        assert jobs.get(job)["status"] == "running"
    tick_later(scheduler, 30)
    assert jobs.get(job)["status"] == "queued", "its worker is dead"


def test_row_39_no_lease_or_flag_outlives_its_time_when_redis_clock_goes_back(context: Any, letters: Letters) -> None:
    letters.add(3)
    stores, dead, heir = context.stores, Scheduler(context), Scheduler(context)
    assert dead.tick()
    assert stores.failures.fail(PROJECT, "refit", "it failed") > 0
    set_back(stores)
    assert not heir.tick()
    assert stores._redis.pttl(SCHEDULER_LEASE) <= 10_000, "or nobody would be active for an hour"
    assert not stores.jobs.enqueue_refit(PROJECT), "one is asked for"
    assert stores._redis.pttl(project_key(PROJECT, "refit")) <= 30_000, "or a lost refit would stay lost for an hour"
    assert stores.failures.waits(PROJECT, "refit") <= 600
    assert stores._redis.pttl(project_key(PROJECT, "hold:refit")) <= 600_000


def test_row_39_a_lease_that_ends_early_is_taken_by_one_scheduler_only(context: Any, letters: Letters) -> None:
    first, second = Scheduler(context), Scheduler(context)
    assert first.tick()
    context.stores._redis.delete(SCHEDULER_LEASE)  # what setting its clock forward does to Redis
    assert [second.tick(), first.tick()] == [True, False]
