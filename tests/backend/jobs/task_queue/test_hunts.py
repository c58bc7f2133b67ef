"""Hunting scarce classes in the product: the plan's places, what comes of them, orders, and evidence without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from backend.application.task_queue import describe_hunts
from backend.cli.render import render_all_hunts, render_hunts
from backend.jobs.learn.refit import refit
from backend.jobs.task_queue.hunts import _candidates, scale_places, settle_hunted
from backend.jobs.task_queue.plan import _was_ordered_meanwhile, plan
from backend.labelstudio.records import ExampleRecord
from backend.record_json import HuntState
from backend.store.task_queue import HuntedTask, HuntOrder
from model.spec import Control, Kind, Label, TaskSpec
from tests.backend.conftest import PROJECT, Labels
from tests.support.rig import choices_config

ADMIN = {"Authorization": "Bearer admin"}
PATH = f"/admin/projects/{PROJECT}/hunts"


@pytest.fixture
def pool(context: Any, labels: Labels, once: Callable[..., None]) -> Labels:
    """40 labelled messages without those of the last class, 200 in the pool."""

    def learn() -> None:
        for number in range(40):
            if labels.rows[number][1] != labels.names[-1]:
                labels.add(number, number + 1)
        documents = {number + 1: {"text": text} for number, (text, _) in enumerate(labels.rows[:200])}
        context.stores.projects.add_pool(PROJECT, documents, 4000)
        assert refit(PROJECT) == "published"

    once(learn)
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


def order(
    context: Any, key: str, at: float, words: Sequence[str] = (), regex: str = "", like: Sequence[int] = ()
) -> None:
    """One more is wanted, as an admin says it, without what the command checks."""
    about: HuntOrder = {
        "control": "label",
        "key": key,
        "at": at,
        "stopped": False,
        "words": list(words),
        "regex": regex,
        "like": list(like),
        "count": 1,
    }
    context.stores.task_queue.order(PROJECT, about)


def told_of(context: Any, label: str) -> HuntState:
    found = describe_hunts(context.settings, context.stores, PROJECT)["hunts"]
    return next(own for own in found if own["label"] == label)


def test_an_order_that_is_over_leaves_its_class_to_what_is_hunted_by_itself(context: Any, pool: Labels) -> None:
    rare = pool.names[-1]
    order(context, rare, 5.0)
    hit: HuntedTask = {"control": "label", "key": rare, "at": 1.0, "order": 5.0, "hit": True}
    task = next(number for number in range(60, 200) if pool.rows[number][1] == rare)
    pool.add(task, task + 1)
    context.stores.task_queue.note_hunted(PROJECT, {task + 1: hit})
    assert plan(PROJECT) == "planned"
    own = told_of(context, rare)
    assert (own["state"], own["wanted"]) == ("scarce", 10), "of which one was ordered, long before any clock says"
    context.settings = context.settings.model_copy(update={"hunt_share": 0.0})
    assert plan(PROJECT) == "planned"
    assert told_of(context, rare)["state"] == "all found" and hunted(context) == {}
    order(context, rare, 6.0)
    assert _was_ordered_meanwhile(context, PROJECT), "then it is planned again"
    assert told_of(context, rare)["state"] == "from the next choice on"
    assert plan(PROJECT) == "planned" and not _was_ordered_meanwhile(context, PROJECT)
    assert (told_of(context, rare)["state"], told_of(context, rare)["labels"]) == ("ordered", 0)


def test_what_came_of_a_task_follows_its_label(context: Any, pool: Labels) -> None:
    rare = pool.names[-1]
    tasks = [n for n in range(60, 200) if pool.rows[n][1] == rare][:2]
    for task in tasks:
        pool.add(task, task + 1)
        own: HuntedTask = {"control": "label", "key": rare, "at": 1.0, "hit": True}
        context.stores.task_queue.note_hunted(PROJECT, {task + 1: own})
    assert plan(PROJECT) == "planned" and told_of(context, rare)["found"] == 2
    pool.add(tasks[0], tasks[0] + 1, relabel=lambda _: pool.names[0])
    context.stores.examples.remove(PROJECT, [tasks[1] + 1])
    assert plan(PROJECT) == "planned"
    own_now = told_of(context, rare)
    assert (own_now["found"], own_now["asked"]) == (0, 1), "corrected, and deleted"


def test_words_that_stand_nowhere_are_told_and_an_expression_that_went_bad_stops_no_plan(
    context: Any, pool: Labels
) -> None:
    context.settings = context.settings.model_copy(update={"hunt_share": 0.0})
    order(context, pool.names[0], 1.0, words=["xyzzy"])
    order(context, pool.names[1], 2.0, regex="(a")
    assert plan(PROJECT) == "planned" and set(hunted(context).values()) == set(pool.names[:2])
    assert [told_of(context, name)["matches"] for name in pool.names[:2]] == [0, 0]
    lines = render_hunts(describe_hunts(context.settings, context.stores, PROJECT)["hunts"])
    assert lines[0].endswith("no unlabelled tasks match")
    assert render_all_hunts({"share": 0.0, "hunted_classes": 0, "hunts": [], "orders": []}) == [
        "No class is hunted: HUNT_SHARE is 0."
    ]


def test_all_that_was_ordered_is_told_of_and_a_class_that_is_gone_can_be_stopped(
    client: Any, context: Any, labels: Labels
) -> None:
    names = [f"class {number}" for number in range(70)]
    context.stores.projects.save_config(PROJECT, choices_config(names))
    for number, name in enumerate(names):
        order(context, name, float(number + 1))
    found = [(own["label"], own["state"]) for own in client.get(PATH, headers=ADMIN).get_json()["hunts"]]
    assert sorted(found) == sorted((name, "from the next choice on") for name in names)
    context.stores.projects.save_config(PROJECT, choices_config(names[1:]))
    assert client.delete(f"{PATH}?label={names[0]}", headers=ADMIN).status_code == 200
    assert told_of(context, names[0])["state"] == "stopped"


def test_a_node_has_the_members_of_those_below_it(context: Any, labels: Labels) -> None:
    paths = (("a",), ("a", "b"), ("a", "c"), ("d",))
    control = Control("tax", Kind.TAXONOMY, ("text",), tuple(Label(path, "/".join(path)) for path in paths))
    model = type("Model", (), {"spec": TaskSpec((), (control,)), "labels": lambda *_: ("a/b", "a/c", "d")})
    found = {name[1]: (own.column, own.below, inner) for name, own, inner in _candidates(model(), {})}
    assert found == {"a/b": (0, (), False), "a/c": (1, (), False), "d": (2, (), False), "a": (0, (1,), True)}
    context.stores.examples.upsert_many(
        PROJECT, [ExampleRecord(1, 1, {"text": "t"}, {"tax": [["a", "c"]]}, "2026-01-01T00:00:00Z")]
    )
    context.stores.task_queue.note_hunted(PROJECT, {1: {"control": "tax", "key": "a", "at": 1.0}})
    assert settle_hunted(context, PROJECT)[1]["hit"]


TAXONOMY = """<View><Text name="t" value="$text"/><Taxonomy name="x" toName="t"><Choice value="Animals"><Choice
value="Dog"/><Choice value="Other"/></Choice><Choice value="Plants"><Choice value="Other"/></Choice></Taxonomy>
</View>"""
SETS = """<View><Text name="t" value="$text"/><Choices name="c" toName="t" choice="multiple"><Choice value="A"/><Choice
value="a"/><Choice value=" x "/><Choice value="card_payment"/><Choice value="&lt;b&gt;"/><Choice
value="بازگشت"/></Choices></View>"""
SPANS = """<View><Labels name="n" toName="t"><Label value="PER"/></Labels><Text name="t" value="$text"/></View>"""


@pytest.mark.parametrize(
    ("config", "label", "key"),
    [
        (TAXONOMY, "Animals", "Animals"),
        (TAXONOMY, "Animals > dog", "Animals/Dog"),
        (TAXONOMY, "DOG", "Animals/Dog"),
        (TAXONOMY, "Other", "Animals/Other or Plants/Other"),
        (TAXONOMY, "animal", "did you mean Animals"),
        (SETS, "a", "a"),
        (SETS, "x", " x "),
        (SETS, "Card payment", "card_payment"),
        (SETS, "<b>", "<b>"),
        (SETS, "بازگشت", "بازگشت"),
        (SETS, "zz", "none of A, a"),
        (SPANS, "PER", "only answers about the whole text"),
    ],
)
def test_a_class_may_be_named_nearly_so(
    client: Any, context: Any, labels: Labels, config: str, label: str, key: str
) -> None:
    context.stores.projects.save_config(PROJECT, config)
    reply = client.post(PATH, json={"label": label}, headers=ADMIN)
    if reply.status_code == 202:
        assert [own["key"] for own in context.stores.task_queue.orders(PROJECT)] == [key]
        assert (f"({key})" in reply.get_json()["message"]) == (label != key)
    else:
        assert reply.status_code == 400 and key in reply.get_json()["message"], reply.get_json()


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
        ({"label": "A", "count": 0}, "count"),
        ({"label": "A", "words": ["", " "]}, "words"),
        ({"label": "A", "words": ["\ud800"]}, "words"),
        ({"label": "A", "regex": "\ud800"}, "regex"),
    ],
)
def test_an_order_that_cannot_be_used_is_refused(client: Any, labels: Labels, body: Any, field: str) -> None:
    given = {**body, "label": labels.names[0]} if body.get("label") == "A" else body
    reply = client.post(PATH, json=given, headers=ADMIN)
    assert reply.status_code == 400 and reply.get_json()["field"] == field, reply.get_json()
