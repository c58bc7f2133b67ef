"""Learners share the projects among themselves: none is worked on twice, known ones are preferred, nobody starves."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from backend.redis_access.job_queue import (
    HEAD_START_SECONDS,
    STEAL_SECONDS,
    ProjectPicker,
    choose,
    preferred,
    project_of,
)
from backend.settings.settings import Settings
from backend.store.stores import Stores
from tests.support.rig import choices_config

TWO = ("learn-a-1-x", "learn-b-1-x")


def owned(by: str, count: int) -> list[int]:
    """The first projects that prefer one of the two."""
    return [project for project in range(1, 200) if preferred(project, TWO) == by][:count]


def test_projects_are_spread_and_few_move_when_a_learner_comes() -> None:
    before = {project: preferred(project, TWO) for project in range(1, 401)}
    assert 150 < sum(name == TWO[0] for name in before.values()) < 250
    three = (*TWO, "learn-c-1-x")
    moved = [project for project, name in before.items() if preferred(project, three) != name]
    assert 90 < len(moved) < 180 and {preferred(project, three) for project in moved} == {three[2]}


def test_the_project_stands_in_the_name_of_a_call(stores: Stores) -> None:
    stores.jobs.enqueue_refit(7)
    (job,) = stores._redis.lrange("rq:queue:learn", 0, -1)
    assert project_of(job) == 7
    assert project_of("5f0e0c1e-0b5c-4c3e-9d59-000000000000") == 0, "of an earlier release"


def test_what_is_chosen_first() -> None:
    me, other = TWO
    (mine,), (theirs, second) = owned(me, 1), owned(other, 2)
    jobs = [f"refit-{theirs}-1", f"refit-{mine}-1", f"refit-{second}-1"]
    fresh = dict.fromkeys(jobs, 0.0)
    old = {**dict.fromkeys(jobs, HEAD_START_SECONDS + 1), jobs[1]: 0.5}
    assert choose(jobs, fresh, me, {me: False, other: False}) == [jobs[1]], "the other one comes for its own"
    assert choose(jobs, fresh, me, {me: False, other: True}) == [jobs[1], jobs[0], jobs[2]], "it is busy"
    idle = {me: False, other: False}
    assert choose(jobs, dict.fromkeys(jobs, STEAL_SECONDS), me, idle) == [jobs[1], jobs[0], jobs[2]], "it hangs"
    assert choose(jobs, old, me, idle) == [jobs[0], jobs[2], jobs[1]], "who has waited much longer goes first"
    assert choose(jobs, fresh, me, {me: False}) == jobs, "a learner alone takes all in turn"


@pytest.mark.redis
def test_two_learners_never_have_one_project(stores: Stores) -> None:
    mine, other = ProjectPicker(stores._redis, TWO[0]), ProjectPicker(stores._redis, TWO[1])
    stores.jobs.enqueue_refit(7)
    job, _ = mine.pick("rq:queue:learn")
    assert job and other.pick("rq:queue:learn") == ("", False)
    stores.jobs.begin_refit(7)
    stores.jobs.enqueue_refit(7)
    assert other.pick("rq:queue:learn") == ("", True), "it waits, and nobody else may have it"
    mine.renew()
    mine.let_go()
    assert other.pick("rq:queue:learn")[0], "now"
    mine.let_go()
    assert stores._redis.get("understudy:{p7}:learner") == TWO[1], "what is another's is not let go"


@pytest.mark.redis
@pytest.mark.timeout(120)
def test_a_flooding_project_keeps_no_other_waiting(context: Any, settings: Settings) -> None:
    """Whatever is asked for it, one refit of it waits at a time, and the others come in turn."""
    from backend.workers.worker import build_worker

    stores, order = context.stores, []
    from backend.jobs.learn import refit

    def learn(work: object, project: int) -> str:
        order.append(project)
        return "unchanged"

    before, refit.learn = refit.learn, learn  # type: ignore[assignment]
    try:
        for project in (1, 1, 1, 2, 1, 3, 1, 4):
            stores.projects.save_config(project, choices_config(["a", "b"]))
            stores.jobs.enqueue_refit(project)
        build_worker(settings, "learn").work(burst=True)
    finally:
        refit.learn = before
    assert order == [1, 2, 3, 4]


@pytest.mark.redis
def test_an_idle_learner_hears_of_a_job_at_once(stores: Stores, settings: Settings) -> None:
    from backend.redis_access.connection import connect
    from backend.redis_access.job_queue import learn_queue

    client = connect(settings, binary=True, blocking=True)
    queue = learn_queue(ProjectPicker(client, TWO[0]))
    found: list[Any] = []
    thread = threading.Thread(
        target=lambda: found.append((queue.lmove(client, "rq:queue:learn", 100), time.monotonic()))
    )
    thread.start()
    time.sleep(0.3)
    asked = time.monotonic()
    stores.jobs.enqueue_refit(7)
    thread.join(200)
    ((_, job), at) = found[0]
    assert project_of(job) == 7 and at - asked < 60, "not only when the wait is over"
    client.close()
    assert stores._redis.llen("rq:queue:learn") == 0
