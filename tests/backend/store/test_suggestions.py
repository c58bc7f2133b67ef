"""What was suggested for a task, by version; and what interactive marking remembers of it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from backend.labelstudio.spans.interactive import Memory, Suggestion
from backend.labelstudio.spans.regions import SentSpan
from backend.redis_access.keys import project_key
from backend.store import suggestions as module
from backend.store.stores import Stores
from model.span import Span

pytestmark = pytest.mark.redis

ADA = SentSpan("a", "label", 0, 3, "PER", 0.93)
BOB = SentSpan("b", "label", 8, 11, "PER", 0.71)


def test_what_each_version_suggested_is_given_back_the_last_one_last(stores: Stores) -> None:
    stores.suggestions.keep(1, "v0.1", {5: [ADA, BOB], 6: []})
    stores.suggestions.keep(1, "v0.2", {5: [BOB]})
    assert stores.suggestions.of_tasks(1, [5, 6, 7]) == {5: {"v0.1": [ADA, BOB], "v0.2": [BOB]}, 6: {"v0.1": []}}
    stores.suggestions.keep(1, "v0.1", {5: [ADA]})
    assert list(stores.suggestions.of_tasks(1, [5])[5]) == ["v0.2", "v0.1"], "asked once more, after a rollback say"
    assert stores.suggestions.of_tasks(2, [5]) == {} == stores.suggestions.of_tasks(1, [])


def test_three_versions_of_a_task_are_kept(stores: Stores) -> None:
    for number in range(1, 8):
        stores.suggestions.keep(1, f"v0.{number}", {5: [ADA]})
    assert list(stores.suggestions.of_tasks(1, [5])[5]) == ["v0.5", "v0.6", "v0.7"]


def test_the_tasks_that_are_kept_are_the_last_ones(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SUGGESTED_TASKS", 10)
    for task in range(25):
        stores.suggestions.keep(1, "v0.1", {task: [ADA]})
        stores.suggestions.keep(1, "v0.1", {0: [BOB]})  # whose page is opened again and again
    assert set(stores.suggestions.of_tasks(1, list(range(25)))) == {0, *range(16, 25)}
    assert (
        stores._redis.hlen(project_key(1, "suggested")) == 10 == stores._redis.zcard(project_key(1, "suggested:order"))
    )


def test_two_processes_that_keep_at_once_lose_nothing(stores: Stores) -> None:
    tasks = range(40)

    def keep(version: str) -> None:
        for task in tasks:
            stores.suggestions.keep(1, version, {task: [ADA]})

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(keep, ("v0.1", "v0.2", "v0.3")))
    assert [set(known) for known in stores.suggestions.of_tasks(1, tasks).values()] == [{"v0.1", "v0.2", "v0.3"}] * 40


def test_what_an_earlier_release_kept_is_read_and_gone_on_with(stores: Stores) -> None:
    spans = [ADA.to_json(), BOB.to_json()]
    stores._redis.hset(project_key(1, "suggested"), "5", json.dumps({"v0.1": spans, "v0.2": []}))
    stores._redis.zadd(project_key(1, "suggested:order"), {"5": 1.0})
    assert stores.suggestions.of_tasks(1, [5]) == {5: {"v0.1": [ADA, BOB], "v0.2": []}}
    stores.suggestions.keep(1, "v0.3", {5: [BOB]})
    assert list(stores.suggestions.of_tasks(1, [5])[5].items()) == [("v0.1", [ADA, BOB]), ("v0.2", []), ("v0.3", [BOB])]
    stores.suggestions.keep(1, "v0.1", {5: [ADA]})
    assert list(stores.suggestions.of_tasks(1, [5])[5].items()) == [("v0.2", []), ("v0.3", [BOB]), ("v0.1", [ADA])]
    stores.suggestions.keep(1, "v0.4", {5: []})
    assert list(stores.suggestions.of_tasks(1, [5])[5]) == ["v0.3", "v0.1", "v0.4"]


def test_labels_of_any_letters_come_back(stores: Stores) -> None:
    odd = [SentSpan("x-_1", "a b\tc", 0, 3, "Ort 'é\n\u2028\\' 🌍", 0.5)]
    stores.suggestions.keep(1, "v0.1", dict.fromkeys(range(1200), odd))
    assert stores.suggestions.of_tasks(1, range(1200)) == {task: {"v0.1": odd} for task in range(1200)}


def test_nothing_is_written_for_nothing(stores: Stores) -> None:
    stores.suggestions.keep(1, "v0.1", {})
    assert stores._redis.keys("*") == []


def test_the_memory_of_a_task_is_kept_for_a_week(stores: Stores) -> None:
    memory = Memory((Suggestion("s", "m", "label", 0, 3, "PER"),), frozenset({("label", Span(8, 11, "PER"))}), 12.5)
    assert stores.suggestions.memory(1, 5) == Memory()
    stores.suggestions.keep_memory(1, 5, memory)
    assert stores.suggestions.memory(1, 5) == memory and stores.suggestions.memory(1, 6) == Memory()
    assert 0 < stores._redis.ttl(project_key(1, "marks:5")) <= module.MEMORY_SECONDS == 7 * 24 * 3600


@pytest.mark.parametrize(
    "foreign", ["{}", "[]", "7", "no json", '{"suggested": [{"x": 1}], "removed": [], "answered_at": 0}']
)
def test_a_memory_that_cannot_be_read_is_an_empty_one(stores: Stores, foreign: str) -> None:
    stores._redis.set(project_key(1, "marks:5"), foreign)
    assert stores.suggestions.memory(1, 5) == Memory()


@pytest.mark.parametrize("foreign", ["[]", "7", "no json", '{"v1": [{"x": 1}]}', '{"v1": 7}', '{"v1": [7]}'])
def test_suggestions_that_cannot_be_read_are_none_and_are_written_anew(stores: Stores, foreign: Any) -> None:
    stores.suggestions.keep(1, "v0.1", {5: [ADA], 6: [BOB]})
    stores._redis.hset(project_key(1, "suggested"), "5", foreign)
    assert stores.suggestions.of_tasks(1, [5, 6]) == {6: {"v0.1": [BOB]}}, "of another release: a removal is not known"
    stores.suggestions.keep(1, "v0.2", {5: [ADA]})
    assert stores.suggestions.of_tasks(1, [5])[5]["v0.2"] == [ADA]
