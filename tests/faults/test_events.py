"""Rows 1 to 5 and 23: events come twice, late, in the wrong order or by the thousand; an announcement gets lost."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from backend.jobs.learn.refit import refit
from tests.support.events import annotation, create, send
from tests.support.tiny import PROJECT, Letters, letters, settings, tiny_base  # noqa: F401


def test_row_01_five_copies_at_once_and_one_more_are_one_example(client: Any, services: Any) -> None:
    with ThreadPoolExecutor(5) as crowd:
        replies = list(crowd.map(lambda _: create(client.application.test_client(), 1), range(5)))
    replies.append(create(client, 1))
    assert [reply.status_code for reply in replies] == [200] * 6
    outcomes = [next(iter(reply.get_json()["outcomes"])) for reply in replies]
    assert sorted(outcomes) == ["duplicate"] * 5 + ["stored"]
    assert (services.stores.examples.count(PROJECT), services.stores.examples.pending(PROJECT)) == (1, 1)


def test_row_02_an_older_update_that_comes_after_the_newer_one_is_stale(client: Any, services: Any) -> None:
    create(client, 1, label="e", at=9)
    reply = send(client, "ANNOTATION_UPDATED", **annotation(1, "a", at=1))
    assert (reply.status_code, reply.get_json()["outcomes"]) == (200, {"stale": 1})
    assert services.stores.examples.snapshot(PROJECT).records[0].targets == {"label": [["e"]]}


def test_row_03_deleted_before_its_late_create_it_stays_deleted_until_a_resync_sees_it(
    client: Any, services: Any
) -> None:
    examples = services.stores.examples
    send(client, "ANNOTATIONS_DELETED", annotations=[{"id": 1}])
    assert create(client, 1).get_json()["outcomes"] == {"deleted": 1}
    assert create(client, 1, at=3600).get_json()["outcomes"] == {"deleted": 1}, "however new"
    assert examples.count(PROJECT) == 0
    create(client, 2)
    record = examples.snapshot(PROJECT).records[0]
    listed = [record, type(record)(1, 1, record.texts, record.targets, record.updated_at)]
    examples.reconcile(PROJECT, listed, examples.seq(PROJECT), examples.clock(PROJECT))
    assert examples.count(PROJECT) == 2


def test_row_04_a_list_of_5000_annotations_is_stored_whole(client: Any, services: Any) -> None:
    pairs = [annotation(number) for number in range(1, 5001)]
    body = {"annotation": [pair["annotation"] for pair in pairs], "task": [pair["task"] for pair in pairs]}
    began = time.perf_counter()
    reply = send(client, "ANNOTATIONS_CREATED", **body)
    print(f"5,000 annotations took {time.perf_counter() - began:.2f} s")
    assert (reply.status_code, reply.get_json()["outcomes"]) == (200, {"stored": 5000})
    assert services.stores.examples.count(PROJECT) == services.stores.examples.pending(PROJECT) == 5000


def test_row_05_deleted_tasks_take_their_annotations_along_those_under_way_too(client: Any, services: Any) -> None:
    for number, task in ((1, 10), (2, 10), (3, 11)):
        create(client, number, task=task)
    reply = send(client, "TASKS_DELETED", tasks=[{"id": 10}, {"id": 999}])
    assert (reply.status_code, reply.get_json()["outcomes"]) == (200, {"deleted": 2})
    assert create(client, 4, task=10).get_json()["outcomes"] == {"deleted": 1}
    assert [record.annotation for record in services.stores.examples.snapshot(PROJECT).records] == [3]


def test_row_23_a_move_that_was_not_announced_is_found_by_polling(services: Any, letters: Letters) -> None:
    for _ in range(2):
        letters.add(8)
        assert refit(PROJECT) == "published"
    wait_for(services, "v0.2")
    services.stores._redis.set(f"understudy:{{p{PROJECT}}}:live", "v0.1")  # as a kill between move and message does
    wait_for(services, "v0.1")


def wait_for(services: Any, version: str) -> None:
    """Returns when this version serves."""
    deadline = time.monotonic() + 120
    while services.registry.version_of(PROJECT) != version:
        assert time.monotonic() < deadline, version
        time.sleep(0.02)
