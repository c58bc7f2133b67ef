"""Hunting scarce classes in the product: the plan's places, what comes of them, orders, and evidence without them."""

from __future__ import annotations

from typing import Any

import pytest

from backend.application.task_queue import describe_hunts
from backend.cli.render import render_hunts
from backend.jobs.learn.refit import refit
from backend.jobs.task_queue.hunts import scale_places, settle_hunted
from backend.jobs.task_queue.plan import plan
from backend.store.task_queue import HuntedTask
from tests.backend.conftest import PROJECT, Labels

ADMIN = {"Authorization": "Bearer admin"}
PATH = f"/admin/projects/{PROJECT}/hunts"


@pytest.fixture
def pool(context: Any, labels: Labels) -> Labels:
    """40 labelled messages without those of the last class, 200 in the pool."""
    for number in range(40):
        if labels.rows[number][1] != labels.names[-1]:
            labels.add(number, number + 1)
    documents = {number + 1: {"text": text} for number, (text, _) in enumerate(labels.rows[:200])}
    context.stores.projects.add_pool(PROJECT, documents, 4000)
    assert refit(PROJECT) == "published"
    return labels


def hunted(context: Any) -> dict[int, str]:
    entries = context.stores.task_queue.plan(PROJECT)["entries"]
    assert all((entry["role"] == "hunt") == ("hunted" in entry) for entry in entries)
    return {entry["task"]: entry["hunted"][1] for entry in entries if "hunted" in entry}


def share_of_class(labels: Labels, tasks: Any, name: str) -> float:
    return sum(labels.rows[task - 1][1] == name for task in tasks) / len(tasks)


def test_a_class_without_labels_is_found_told_and_left_out_of_the_evidence(context: Any, pool: Labels) -> None:
    rare = pool.names[-1]
    assert plan(PROJECT) == "planned"
    first = hunted(context)
    assert first and set(first.values()) >= {rare}, "by itself, while there are fewer than ten"
    for task in first:
        pool.add(task - 1, task)
    assert refit(PROJECT) == "published"
    every = context.stores.evidence.rows(PROJECT, hunted=True)
    assert {row.task for row in every if row.hunted} == set(first)
    assert not any(row.task in first for row in context.stores.evidence.rows(PROJECT))
    settled = settle_hunted(context, PROJECT)
    assert {task: own["hit"] for task, own in settled.items()} == {
        task: pool.rows[task - 1][1] == key for task, key in first.items()
    }
    assert plan(PROJECT) == "planned"
    told = describe_hunts(context.settings, context.stores, PROJECT)["hunts"]
    own = next(own for own in told if own["label"] == rare)
    assert own["asked"] == sum(key == rare for key in first.values()) and not own["ordered"]
    assert any(line.startswith(f"hunting {rare} (scarce): ") for line in render_hunts([own]))


def test_an_order_goes_by_words_and_ends(client: Any, context: Any, pool: Labels) -> None:
    context.settings = context.settings.model_copy(update={"hunt_share": 0.0})
    plan(PROJECT)
    assert hunted(context) == {}
    name, word = pool.names[0], pool.rows[150][0].split()[0]
    body = {"label": name, "words": [word], "count": 2, "like": [151]}
    reply = client.post(PATH, json=body, headers=ADMIN)
    assert reply.status_code == 202 and "2 more of it are hunted" in reply.get_json()["message"]
    plan(PROJECT)
    found = hunted(context)
    assert set(found.values()) == {name} and 1 <= len(found) <= 8
    (order,) = client.get(PATH, headers=ADMIN).get_json()["orders"]
    assert (order["label"], order["words"], order["like"], order["stopped"]) == (name, [word], [151], False)
    assert client.delete(f"{PATH}?label={name}", headers=ADMIN).status_code == 200
    plan(PROJECT)
    assert hunted(context) == {}


def test_hunting_in_vain_gets_fewer_places() -> None:
    def tasks(count: int, hits: int) -> dict[int, HuntedTask]:
        return {n: {"control": "c", "key": "k", "at": float(n), "hit": n < hits} for n in range(count)}

    assert scale_places(16, {}) == scale_places(16, tasks(20, 8)) == 16
    assert scale_places(16, tasks(100, 0)) == 1 and scale_places(0, {}) == 0
    assert 1 < scale_places(16, tasks(20, 0)) < 8


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "label"),
        ({"label": "no such"}, "label"),
        ({"label": "A", "control": "other"}, "control"),
        ({"label": "A", "regex": r"(a)\1"}, "regex"),
        ({"label": "A", "regex": "a*"}, "regex"),
        ({"label": "A", "regex": 7}, "regex"),
        ({"label": "A", "words": "refund"}, "words"),
        ({"label": "A", "words": ["a" * 201]}, "words"),
        ({"label": "A", "like": [99999]}, "like"),
        ({"label": "A", "like": [1] * 21}, "like"),
        ({"label": "A", "count": 1001}, "count"),
    ],
)
def test_an_order_that_cannot_be_used_is_refused(client: Any, labels: Labels, body: Any, field: str) -> None:
    given = {**body, "label": labels.names[0]} if body.get("label") == "A" else body
    reply = client.post(PATH, json=given, headers=ADMIN)
    assert reply.status_code == 400 and reply.get_json()["field"] == field, reply.get_json()
