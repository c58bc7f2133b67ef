"""The tab shows the tasks that come next as Label Studio hands them out, and how far a run is."""

from __future__ import annotations

import time
from typing import Any

from backend.health.news import news_of_project
from backend.labelstudio.records import ExampleRecord
from backend.store.task_queue import PlannedTask, QueuePlan
from backend.store.work.file_runs import Asked
from backend.ui.views.queue import view_queue
from tests.backend.ui.views.conftest import STUDIO

STAMP = "2026-11-29T10:00:00Z"


def entry(task: int, score: float, role: str = "chosen", cluster: int | None = None) -> PlannedTask:
    return {"task": task, "role": role, "cluster": cluster, "result": [], "score": score}


def save(services: Any, entries: list[PlannedTask], **more: Any) -> None:
    made: QueuePlan = {"at": time.time(), "live": "v0.3", "answers": 0, "rows": 90, "unread": 0, "open": 80}
    services.stores.task_queue.save_plan(7, {**made, "entries": entries, **more})


def test_random_tasks_go_first_and_the_least_sure_of_the_chosen_follow(linked: Any) -> None:
    save(linked, [entry(4, 0.0, "blind", 0), entry(9, 0.8, "explore", 1), entry(1, 0.7), entry(2, 0.4), entry(3, 0.5)])
    linked.stores.projects.add_pool(7, {1: {"text": "one"}, 2: {"text": "x" * 999}}, 100)
    view = view_queue(linked, 7, {})
    assert [row.task for row in view.rows] == [4, 9, 2, 3, 1] and [row.place for row in view.rows] == [1, 2, 3, 4, 5]
    assert [row.role for row in view.rows][:3] == ["blind", "explored", "chosen"]
    assert view.roles == {"blind": 1, "explored": 1, "chosen": 3}
    assert view.rows[-1].text == "one" and len(view.rows[2].text) == 240 and view.rows[0].text == ""
    assert (view.chosen_by, view.out_of, view.waits, view.head.tasks) == ("v0.3", 80, True, f"{STUDIO}/projects/7/data")


def test_what_is_answered_since_is_counted_and_not_listed(linked: Any) -> None:
    save(linked, [entry(task, task / 100) for task in range(1, 61)])
    records = [ExampleRecord(n, n, {"text": "t"}, {"label": [["a"]]}, STAMP) for n in range(1, 11)]
    linked.stores.examples.upsert_many(7, records)
    view = view_queue(linked, 7, {"page": "2"})
    assert (view.answered, view.place.rows, view.place.number, view.place.pages) == (10, 50, 2, 2)
    assert [row.task for row in view.rows] == list(range(36, 61)) and view.rows[0].place == 26


def test_a_choice_that_is_in_label_studio_does_not_wait(linked: Any) -> None:
    save(linked, [entry(1, 0.5)])
    plan = linked.stores.task_queue.plan(7)
    linked.stores.task_queue.update(7, {"at": plan["at"], "version": "queue-1", "tasks": 1})
    assert not view_queue(linked, 7, {}).waits
    linked.stores.task_queue.switch(7, "the project's task sampling is not Uncertainty sampling")
    view = view_queue(linked, 7, {})
    assert "sampling" in view.off and not view.waits and len(view.rows) == 1


def test_what_is_hunted_is_told_with_what_was_ordered_since(linked: Any) -> None:
    order = {"control": "label", "at": 0.0, "stopped": False, "words": [], "regex": "", "like": [], "count": 5}
    about = {"control": "label", "labels": 3, "wanted": 10, "asked": 9, "found": 1, "ordered": False, "vain": True}
    orders = linked.stores.task_queue
    assert view_queue(linked, 7, {}).hunts == []
    save(linked, [entry(1, 0.5)], hunts=[{**about, "label": "a"}], hunted_classes=70)
    view = view_queue(linked, 7, {"control": "label", "label": "e"})
    [row] = view.hunts
    assert (row.state, row.labels, row.wanted, row.found, row.asked, view.hunted) == ("given up", 3, 10, 1, 9, 70)
    assert view.order.values["label"] == "e" and view.order.values["count"] == "20" and view.share == 0.3
    orders.order(7, {**order, "key": "e"})
    assert [row.state for row in view_queue(linked, 7, {}).hunts] == ["from the next choice on", "given up"]
    done = {**about, "label": "e", "ordered": True, "vain": False, "labels": 5, "wanted": 5, "state": "all found"}
    gone = {**order, "key": "gone", "at": 1.0}
    orders.order(7, gone)
    save(linked, [entry(1, 0.5)], hunts=[done, {**about, "label": "a", "matches": 0}], orders=[0.0, 1.0])
    rows = view_queue(linked, 7, {}).hunts
    assert [row.state for row in rows] == ["given up", "all found", "not in the label config"]
    assert [(bool(row.hunted), row.matches) for row in rows] == [(True, 0), (False, None), (True, None)]
    orders.order(7, {**gone, "stopped": True})
    before = news_of_project(linked.stores.client, 7)
    orders.order(7, {**order, "key": "e", "at": time.time() + 1})
    assert news_of_project(linked.stores.client, 7) != before
    orders.order(7, {**order, "key": "a", "stopped": True})
    assert [(row.label, row.state) for row in view_queue(linked, 7, {}).hunts] == [
        ("e", "from the next choice on"),
        ("gone", "stopped"),
        ("a", "stopped"),
    ]


def test_before_the_first_choice_it_says_why_there_is_none(linked: Any, services: Any) -> None:
    assert view_queue(linked, 7, {}).rows == [] and view_queue(linked, 7, {}).run is None
    assert "LABEL_STUDIO_URL" in view_queue(services, 7, {}).off


def test_a_run_tells_who_asked_and_how_far_it_is(linked: Any) -> None:
    runs = linked.stores.prediction_runs
    record, _ = runs.request(7, "admin", False)
    run = view_queue(linked, 7, {}).run
    assert run is not None and (run.by, run.over, run.step) == ("admin", False, 0)
    runs.finish(7, record["id"], "cancelled", "cancelled")
    run = view_queue(linked, 7, {}).run
    assert run is not None and run.over and run.status == "cancelled"


def test_a_run_over_files_tells_how_far_it_is_and_every_part_is_news(linked: Any) -> None:
    runs, client = linked.stores.file_runs, linked.stores.client
    assert view_queue(linked, 7, {}).files is None
    wanted: Asked = {
        "source": "file:///in/a.csv",
        "output": "file:///out",
        "version": "v0.3",
        "rows": 100,
        "prefix": "",
    }
    record, _ = runs.request(7, "admin", wanted)
    runs.keep_plan(7, [{"rows": 100}, {"rows": 50}], {})
    runs.change(7, record["id"], {"status": "running", "began_at": time.time() - 10})
    before = news_of_project(client, 7)
    assert runs.end(7, record["id"], 0, "done", {"over": 1, "written": 100, "errors": 3})
    assert news_of_project(client, 7) != before
    files = view_queue(linked, 7, {}).files
    assert files is not None and (files.by, files.version, files.over) == ("admin", "v0.3", False)
    assert (files.step, files.of, files.shards_over, files.shards, files.errors) == (100, 150, 1, 2, 3)
    assert 9 < files.rate <= 10 and files.seconds_left is not None
    runs.finish(7, record["id"], "cancelled", "cancelled")
    files = view_queue(linked, 7, {}).files
    assert files is not None and files.over and files.seconds_left is None
