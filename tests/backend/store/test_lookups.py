"""Looking up one task or project reads that one, not all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from backend.application import background
from backend.application.background import Background
from backend.redis_access.keys import project_key
from backend.store.stores import Stores

pytestmark = pytest.mark.redis


def test_the_examples_of_a_task_are_found(stores: Stores, make_record: Callable[..., Any]) -> None:
    records = [make_record(1, "A", 7), make_record(12, "B", 7), make_record(3, "A", 8), make_record(4, None, 7)]
    stores.examples.upsert_many(1, records)
    assert stores.examples.of_task(1, 7) == (records[0], records[1])
    assert stores.examples.of_task(1, 9) == stores.examples.of_task(2, 7) == ()
    stores.examples.remove(1, [1])
    assert stores.examples.of_task(1, 7) == (records[1],)


def test_a_damaged_example_is_left_out(stores: Stores, make_record: Callable[..., Any]) -> None:
    records = [make_record(1, "A", 7), make_record(2, "B", 7)]
    stores.examples.upsert_many(1, records)
    stores._redis.hset(project_key(1, "ex"), "1", "0123456789abcdef{}")
    assert [record.annotation for record in stores.examples.of_task(1, 7)] == [2]
    assert stores.examples.snapshot(1).damaged == (1,)
    assert stores.projects.dirty(1) == "stored annotations are damaged", "Label Studio has them"
    stores.examples.reconcile(1, records, stores.examples.seq(1), stores.examples.clock(1))
    assert stores.examples.snapshot(1).records == tuple(records) and not stores.examples.snapshot(1).damaged


def test_one_document_of_the_pool_is_found(stores: Stores) -> None:
    stores.projects.add_pool(1, {5: {"text": "five"}, 6: {"text": "six"}}, 10)
    assert stores.projects.document(1, 6) == stores.projects.pool(1)[6] == {"text": "six"}
    assert stores.projects.document(1, 7) is None
    assert stores.projects.document(2, 6) is None


def test_a_project_is_known_once_its_config_is(stores: Stores) -> None:
    stores.projects.save_config(3, "<View/>")
    assert (stores.projects.knows(3), stores.projects.knows(33)) == (True, False)


def test_the_memory_of_tasks_already_stored_is_bounded(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "TASKS_REMEMBERED", 50)
    waiting = Background(stores, 1000)
    for task in range(500):
        waiting.add_pool(1, {task: {"text": "a"}})
        waiting.add_pool(1, {task: {"text": "a"}})  # known: not stored again
        waiting._batches.get_nowait()
        assert waiting._batches.empty()
        assert len(waiting._known[1]) <= 51


def test_texts_that_wait_are_stored_at_once(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    stored, add = [], stores.projects.add_pool

    def counting(project: int, *given: Any) -> int:
        stored.append(project)
        return add(project, *given)

    monkeypatch.setattr(stores.projects, "add_pool", counting)
    waiting = Background(stores, 1000)
    for task in range(30):
        waiting.add_pool(1 + task % 2, {task: {"text": str(task)}})
    waiting.start()
    waiting.stop()
    assert stored == [1, 2]
    assert stores.projects.pool(1) | stores.projects.pool(2) == {task: {"text": str(task)} for task in range(30)}


def test_a_snapshot_read_by_portions_is_of_one_moment(
    stores: Stores, make_record: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores.examples.upsert_many(1, [make_record(n, "A", n) for n in range(1, 1301)])
    scan, rounds = stores._redis.hscan_iter, []

    def changing(*args: Any, **options: Any) -> Any:
        for number, item in enumerate(scan(*args, **options)):
            if number % 400 == 0:  # others go on while this is being read
                rounds.append(number)
                stores.examples.remove(1, [1 + number, 1300 - number])
                stores.examples.upsert_many(1, [make_record(2 + number, "B", 5), make_record(2000 + number, "A")])
            yield item

    with monkeypatch.context() as patched:
        patched.setattr(stores.examples._redis, "hscan_iter", changing)
        read = stores.examples.snapshot(1)
    assert len(rounds) >= 3
    assert read == stores.examples.snapshot(1)
    assert read.seq == stores.examples.seq(1)
    kept = {record.annotation: record for record in read.records}
    assert (1 in kept, 1300 in kept, 2000 in kept) == (False, False, True)
    assert kept[2].targets == {"label": [["B"]]}


def test_a_snapshot_of_nothing_is_empty(stores: Stores) -> None:
    assert stores.examples.snapshot(1).records == ()
    assert stores.projects.pool(1) == {}
