"""The scheduler: everything that is due comes from the data, so that losing the queue loses nothing."""

from __future__ import annotations

from typing import Any

import pytest

from backend.jobs.learn.refit import refit
from backend.processes.scheduler import Scheduler
from backend.redis_access.keys import SCHEDULER_LEASE
from tests.backend.conftest import PROJECT, Labels
from tests.conftest import tick_later


@pytest.fixture
def scheduler(context: Any) -> Scheduler:
    return Scheduler(context)


def queued(context: Any) -> int:
    return int(context.stores.queue.length("backend.jobs.learn.refit.refit"))


def test_a_refit_that_was_lost_with_the_queue_is_asked_for_again(
    context: Any, scheduler: Scheduler, labels: Labels
) -> None:
    labels.add(0, 8)
    for key in context.stores._redis.keys("rq:*"):
        context.stores._redis.delete(key)
    scheduler.tick()
    assert queued(context) == 1
    refit(PROJECT)
    context.stores._redis.delete("rq:queue:learn")
    scheduler.tick()
    assert queued(context) == 0, "nothing is due"


def test_a_training_whose_worker_died_is_sent_again_and_given_up_in_the_end(
    context: Any, scheduler: Scheduler, labels: Labels
) -> None:
    record, _ = context.stores.jobs.request_training(PROJECT, by="test")
    job = record["id"]
    context.stores.jobs.update(job, {"status": "running", "beat": 1, "attempts": 1})
    tick_later(scheduler)
    assert context.stores.jobs.get(job)["status"] == "queued"
    context.stores.jobs.update(job, {"status": "running", "beat": 1, "attempts": 5})
    tick_later(scheduler)
    assert context.stores.jobs.get(job)["status"] == "failed"
    assert context.stores.jobs.running(PROJECT) is None


def test_a_training_that_only_rq_forgot_is_sent_again(context: Any, scheduler: Scheduler, labels: Labels) -> None:
    context.stores.jobs.request_training(PROJECT, by="test")
    tick_later(scheduler)
    assert context.stores.queue.length("backend.jobs.train.train.train") == 1, "still waiting: not sent twice"
    for key in context.stores._redis.keys("rq:*"):
        context.stores._redis.delete(key)
    scheduler.tick()
    assert context.stores.queue.length("backend.jobs.train.train.train") == 1


def test_a_fine_tune_is_asked_for_when_the_policy_says_so(context: Any, scheduler: Scheduler, labels: Labels) -> None:
    labels.add(0, 48)
    refit(PROJECT)
    scheduler.tick()
    running = context.stores.jobs.running(PROJECT)
    assert running is not None and "first time, with 48 labels" in running["by"]


def note_refusal(context: Any, labels: int) -> None:
    facts = {"labels": labels, "seq": context.stores.examples.seq(PROJECT), "job": f"train-{labels}"}
    context.stores.versions.note_evaluated(PROJECT, facts, accepted=False)


def test_a_refused_challenger_is_not_trained_again_until_the_labels_have_grown(
    context: Any, scheduler: Scheduler, labels: Labels
) -> None:
    labels.add(0, 48)
    refit(PROJECT)
    note_refusal(context, 48)
    scheduler.tick()
    assert context.stores.jobs.running(PROJECT) is None, "nothing changed"
    labels.add(48, 59)
    refit(PROJECT)
    scheduler.tick()
    assert context.stores.jobs.running(PROJECT) is None, "59 is not a quarter more than 48"
    labels.add(59, 60)
    refit(PROJECT)
    scheduler.tick()
    running = context.stores.jobs.running(PROJECT)
    assert running is not None and "60 labels, up from 48" in running["by"]


def test_refusals_in_a_row_ask_for_more_growth_and_an_acceptance_ends_them(context: Any) -> None:
    versions = context.stores.versions
    note_refusal(context, 48)
    note_refusal(context, 60)
    note_refusal(context, 60)
    assert versions.evaluated(PROJECT)["refusals"] == 2, "a job that is run again counts once"
    versions.note_evaluated(PROJECT, {"labels": 90, "seq": 1, "job": "train-90"}, accepted=True)
    assert versions.evaluated(PROJECT)["refusals"] == 0


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_a_training_that_came_to_nothing_is_not_asked_for_again_at_once(
    context: Any, scheduler: Scheduler, labels: Labels, end: str
) -> None:
    labels.add(0, 48)
    refit(PROJECT)
    scheduler.tick()
    job = context.stores.jobs.running(PROJECT)["id"]
    if end == "cancelled":
        context.stores.jobs.cancel(job)
    else:
        context.stores.jobs.update(job, {"status": "running", "beat": 1, "attempts": 5})
        tick_later(scheduler)
    for _ in range(3):
        scheduler.tick()
    assert context.stores.jobs.running(PROJECT) is None
    assert context.stores.jobs.get(job)["status"] == end
    assert context.stores.versions.evaluated(PROJECT)["refusals"] == 1
    labels.add(48, 60)
    refit(PROJECT)
    scheduler.tick()
    assert context.stores.jobs.running(PROJECT) is not None, "it is asked for again when there is more to learn from"


def test_redis_that_lost_everything_gets_its_pointer_back_from_disk(
    context: Any, scheduler: Scheduler, labels: Labels
) -> None:
    labels.add(0, 16)
    refit(PROJECT)
    context.stores._redis.flushall()
    scheduler.tick()
    assert context.stores.versions.live(PROJECT) == "v0.1"
    assert "lost" in context.stores.projects.dirty(PROJECT)
    assert context.stores.versions.allocate(PROJECT, tuned=0) == "v0.2", "no name is given twice"


def test_a_tick_that_takes_long_keeps_the_lease(
    context: Any, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one that took over amid it would have all projects reconciled, and so would this one after that."""
    for project in (7, 8, 9):
        context.stores.projects.save_config(project, "<View/>")
    monkeypatch.setattr("backend.processes.scheduler.LEASE_SECONDS", 0.0)  # renewed before each project
    other, untouched = Scheduler(context), 10**9
    taken_over: list[bool] = []
    left: list[int] = []

    def schedule(project: int) -> None:
        taken_over.append(other.tick())
        left.append(context.stores.client.pttl(SCHEDULER_LEASE))
        context.stores.client.pexpire(SCHEDULER_LEASE, untouched)

    monkeypatch.setattr(scheduler, "schedule", schedule)
    assert scheduler.tick() and not any(taken_over)
    assert len(left) >= 3 and 0 < max(left) < untouched / 10, "held anew before each"


@pytest.mark.redis
def test_of_trainings_that_wait_the_one_goes_first_from_which_most_is_expected(
    context: Any, scheduler: Scheduler, labels: Labels
) -> None:
    """The trainer takes them from RQ's queue in that order, an admin's first; each says which it is, and why."""
    labels.add(0, 48)
    refit(PROJECT)
    jobs, versions = context.stores.jobs, context.stores.versions
    config = context.stores.projects.config(PROJECT)
    for project in (PROJECT + 1, PROJECT + 2):
        context.stores.projects.save_config(project, config)
    asked = [jobs.request_training(project, by="policy: test")[0] for project in (PROJECT + 1, PROJECT + 2, PROJECT)]
    for refusals in range(2):
        facts = {"labels": 40, "seq": 1, "job": f"train-{refusals}", "share": -0.1, "rows": 40}
        versions.note_evaluated(PROJECT + 1, facts, accepted=False)
    scheduler.tick()
    waiting = context.stores._redis.lrange("rq:queue:train", 0, -1)
    order = [next(one["project"] for one in asked if jobs.get(one["id"])["rq"] == rq) for rq in waiting]
    assert order.index(PROJECT + 1) == 2, "two that came to nothing: it came first, and goes last"
    said = jobs.running(PROJECT)["stage"]
    assert (
        said.startswith(f"waits as {order.index(PROJECT) + 1} of 3: expected") and "48 labels, never fine-tuned" in said
    )
    jobs.cancel(asked[0]["id"])
    forced, _ = jobs.request_training(PROJECT + 1, by="admin", force=True)
    scheduler.tick()
    assert jobs.get(forced["id"])["stage"] == "waits as 1 of 3: somebody asked for it"
    assert context.stores._redis.lrange("rq:queue:train", 0, -1)[-3] == jobs.get(forced["id"])["rq"]
    number = jobs.begin(forced["id"], PROJECT + 1)
    assert number == 1 and "stage" not in jobs.get(forced["id"]), "it waits no longer"
