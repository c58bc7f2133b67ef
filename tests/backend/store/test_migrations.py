"""Steps from one shape to the next: killed and run again, asked for by two processes at once."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from backend.errors import StoreUnavailable
from backend.redis_access.keys import MIGRATING, SCHEMA
from backend.store.migrations import CURRENT, STEPS, Step, find_schema, migrate, migrate_row, migrate_sync
from backend.store.stores import Stores

pytestmark = pytest.mark.redis


def test_numbers_follow_each_other() -> None:
    assert [step.number for step in STEPS] == list(range(2, CURRENT + 1))


def test_shapes_that_are_new_already_stay_as_they_are() -> None:
    old = {"at": 5.0, "changed": 2}
    new = migrate_sync(old)
    assert new == {"at": 5.0, "changed": 2, "ok_at": 5.0, "drift": 2} and migrate_sync(new) == new
    for entry in ({}, {"at": 5.0, "error": "it failed"}):
        assert migrate_sync(entry) == entry
    assert [migrate_row({"version": name})["tuned"] for name in ("v0.3", "v2", "v2.17")] == [None, "v2", "v2"]
    assert migrate_row({"version": "v2.1", "tuned": None}) == {"version": "v2.1", "tuned": None}


def test_an_empty_store_is_new_and_one_of_before_the_numbers_is_schema_1(stores: Stores) -> None:
    assert find_schema(stores._redis) == CURRENT
    stores.projects.save_config(7, "<View/>")
    assert find_schema(stores._redis) == 1
    stores.verify()
    assert stores._redis.get(SCHEMA) == str(CURRENT) and not stores._redis.exists(MIGRATING)


def test_a_step_that_fails_in_the_middle_is_taken_again(stores: Stores) -> None:
    for project in (1, 2):
        stores.projects.save_config(project, "<View/>")
    done: list[int] = []

    def step(client: Any, project: int) -> None:
        if project == 2 and done == [1]:
            raise RuntimeError("killed")
        done.append(project)

    steps = (Step(2, "a test", step), Step(3, "another", lambda client, project: done.append(10 * project)))
    with pytest.raises(RuntimeError):
        migrate(stores._redis, steps)
    assert find_schema(stores._redis) == 1
    assert migrate(stores._redis, steps) == [2, 3] and done[1:] == [1, 2, 10, 20]
    assert migrate(stores._redis, steps) == []


def test_of_two_at_once_one_migrates_and_the_other_waits_until_it_is_done(stores: Stores) -> None:
    stores.projects.save_config(1, "<View/>")
    taken: list[list[int]] = []
    begun, go_on = threading.Event(), threading.Event()
    steps = (Step(2, "a test", lambda client, project: (begun.set(), go_on.wait(30))),)  # type: ignore[arg-type, return-value]
    both = [threading.Thread(target=lambda: taken.append(migrate(stores._redis, steps))) for _ in range(2)]
    both[0].start()
    assert begun.wait(30)
    both[1].start()
    both[1].join(0.3)
    assert taken == [], "it waits"
    go_on.set()
    for thread in both:
        thread.join()
    assert sorted(taken) == [[], [2]]


def test_a_newer_store_is_refused_at_the_start(stores: Stores) -> None:
    stores._redis.set(SCHEMA, CURRENT + 1)
    with pytest.raises(StoreUnavailable, match=f"schema {CURRENT + 1}, this one knows {CURRENT}"):
        stores.verify()
