"""Whole-project prediction: real Redis, RQ worker and web process; a Label Studio that answers as the real one does."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from pydantic import SecretStr
from werkzeug.serving import make_server

from backend.jobs.predict import predict as module
from backend.jobs.predict import shard as prediction_walk
from backend.jobs.predict.predict import cut_range, predict
from backend.labelstudio.rest import transport
from backend.labelstudio.rest.circuit_breaker import breaker_of
from backend.labelstudio.results import read_targets
from backend.processes.scheduler import Scheduler
from backend.routes.app import create_app
from backend.settings.settings import Settings
from backend.store.work.prediction_runs import PLANNING_CALL, SHARD_ATTEMPTS, TASK_COUNTS
from model.versions.directory import version_order
from tests.conftest import serving
from tests.support.rig import choices_config, free_port
from tests.support.studio import TOKEN, Studio
from tests.support.tiny import (  # noqa: F401
    KILLED,
    PROJECT,
    Letters,
    armed,
    letters,
    run_apart,
    settings,
    start_apart,
    tiny_base,
)

TASKS = {100 + 3 * number: f"{'abcd'[number % 4]} {'efgh'[number % 4]} {number}" for number in range(47)}
LABELLED = {100, 103, 130}
WANTED = set(TASKS) - LABELLED
PORTION, SHARD_TASKS = 5, 12
MISTAKE = {"nothing": "to read"}


def shrink() -> None:
    """Portions and shards of a few tasks."""
    prediction_walk.REQUEST_TASKS, module.SHARD_TASKS = PORTION, SHARD_TASKS


@pytest.fixture
def studio(context: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    monkeypatch.setattr(transport, "WAIT_SECONDS", (0.01, 0.01, 0.01))
    monkeypatch.setattr(prediction_walk, "REQUEST_TASKS", PORTION)
    monkeypatch.setattr(module, "SHARD_TASKS", SHARD_TASKS)
    context.stores.projects.save_config(PROJECT, choices_config(["a", "e"]))
    with serving(Studio(TASKS, LABELLED)) as running:
        given = {"label_studio_url": running.url, "label_studio_api_key": SecretStr(TOKEN), "predict_share": 1.0}
        context.settings = context.settings.model_copy(update=given)
        yield running
    breaker_of.cache_clear()


@pytest.fixture
def web(context: Any, services: Any, studio: Studio) -> Iterator[Any]:
    """The web process's application behind a port; `PUBLIC_URL` leads there. Yields its services."""
    port = free_port()
    server = make_server("127.0.0.1", port, create_app(services), threaded=True)
    context.settings = context.settings.model_copy(update={"public_url": f"http://127.0.0.1:{port}"})
    with serving(server):
        yield services


def work_off(given: Settings) -> None:
    """What a sync worker does, until its queues are empty."""
    from backend.workers.worker import build_worker

    build_worker(given, "sync", "predict").work(burst=True, with_scheduler=False)


def one_call(given: Settings, run: str, number: int) -> None:
    """In a process of its own."""
    shrink()
    predict(PROJECT, run, number)


def ask(context: Any, labelled: bool = False) -> str:
    record, created = context.stores.prediction_runs.request(PROJECT, "test", labelled)
    assert created
    return str(record["id"])


def state(context: Any) -> str:
    return str(context.stores.prediction_runs.find(PROJECT)["status"])


def totals(context: Any) -> dict[str, int]:
    shards = context.stores.prediction_runs.shards(PROJECT).values()
    return {name: sum(shard[name] for shard in shards) for name in TASK_COUNTS}


def predicted(studio: Studio) -> Counter[int]:
    return Counter(row["task"] for row in studio.predictions)


def free_all(context: Any) -> None:
    """As if LEASE_SECONDS had passed since the workers died."""
    for key in context.stores._redis.scan_iter("understudy:*:predict:lease:*"):
        context.stores._redis.delete(key)


def lose_queues(context: Any) -> None:
    """RQ forgets everything."""
    for key in context.stores._redis.scan_iter("rq:*"):
        context.stores._redis.delete(key)


def tick_twice(context: Any) -> None:
    """Two looks of the scheduler, a minute apart."""
    scheduler, still = Scheduler(context), context.stores.prediction_runs.still
    scheduler.tick()
    clock = still.clock
    still.clock = lambda: clock() + 60
    assert scheduler.tick()
    scheduler.leave()


def test_every_unlabelled_task_gets_one_prediction_as_predict_answers_it(
    context: Any, studio: Studio, web: Any
) -> None:
    ask(context)
    work_off(context.settings)
    assert state(context) == "done" and predicted(studio) == Counter(WANTED)
    assert totals(context) == {"seen": 44, "written": 44, "present": 0, "declined": 0, "dropped": 0}
    assert len(context.stores.prediction_runs.shards(PROJECT)) == 4
    [answer] = client_answer(web, [min(WANTED)])
    row = next(row for row in studio.predictions if row["task"] == min(WANTED))
    assert (row["result"], row["score"], row["model_version"]) == (answer["result"], answer["score"], "v0")
    ask(context)
    work_off(context.settings)
    assert predicted(studio) == Counter(WANTED), "a second run finds them all there"
    assert totals(context)["present"] == 44 and state(context) == "done"


def client_answer(web: Any, tasks: list[int]) -> list[Any]:
    body = {"tasks": [{"id": task, "data": {"text": TASKS[task]}} for task in tasks], "project": str(PROJECT)}
    return list(create_app(web).test_client().post("/predict", json=body).get_json()["results"])


def test_labelled_tasks_come_along_when_asked_for_and_stay_out_of_the_pool(
    context: Any, studio: Studio, web: Any
) -> None:
    ask(context, labelled=True)
    work_off(context.settings)
    assert predicted(studio) == Counter(set(TASKS))
    pool = context.stores.projects.pool
    wait_until(lambda: set(pool(PROJECT)) == WANTED)


@pytest.mark.parametrize("step", ["predict.before_write", "predict.after_write", "predict.begin"])
def test_a_shard_whose_worker_is_killed_goes_on_where_it_was_and_writes_nothing_twice(
    context: Any, studio: Studio, web: Any, step: str
) -> None:
    run = ask(context)
    assert predict(PROJECT, run, PLANNING_CALL) == "planned"
    killed = armed(context.settings, f"{step}@{PROJECT}")
    assert run_apart(one_call, killed, run, 0) == KILLED
    assert len(studio.predictions) == (PORTION if step == "predict.after_write" else 0)
    assert predict(PROJECT, run, 0) == "held by another worker", "until it is known to be dead"
    lose_queues(context)
    free_all(context)
    tick_twice(context)
    work_off(context.settings)
    assert state(context) == "done" and predicted(studio) == Counter(WANTED)


def test_a_lost_plan_is_sent_again(context: Any, studio: Studio, web: Any) -> None:
    ask(context)
    lose_queues(context)
    tick_twice(context)
    work_off(context.settings)
    assert state(context) == "done" and predicted(studio) == Counter(WANTED)


def test_a_shard_that_kills_its_worker_each_time_is_given_up_and_the_others_go_on(
    context: Any, studio: Studio, web: Any
) -> None:
    run = ask(context)
    predict(PROJECT, run, PLANNING_CALL)
    for _ in range(SHARD_ATTEMPTS):
        assert run_apart(one_call, armed(context.settings, "predict.before_write"), run, 1) == KILLED
        free_all(context)
    work_off(context.settings)
    record = context.stores.prediction_runs.find(PROJECT)
    assert record["status"] == "failed" and f"its worker died {SHARD_ATTEMPTS} times" in record["message"]
    shard = context.stores.prediction_runs.shards(PROJECT)[1]
    expected = {task for task in WANTED if not shard["first"] <= task <= shard["last"]}
    assert predicted(studio) == Counter(expected)


def test_two_workers_share_the_shards_and_each_task_is_written_once(context: Any, studio: Studio, web: Any) -> None:
    ask(context)
    workers = [start_apart(work_off, context.settings) for _ in range(2)]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    work_off(context.settings)
    assert state(context) == "done" and predicted(studio) == Counter(WANTED)


def test_a_task_that_is_gone_costs_the_others_nothing(context: Any, studio: Studio, web: Any) -> None:
    original, gone = studio._store, sorted(WANTED)[2]

    def delete_then_store(rows: Any) -> Any:
        studio.tasks.pop(gone, None)  # after it was listed, before it is written
        return original(rows)

    studio._store = delete_then_store  # type: ignore[method-assign]
    ask(context)
    work_off(context.settings)
    assert state(context) == "done" and predicted(studio) == Counter(WANTED - {gone})


def test_a_refused_lot_is_halved_until_the_task_that_is_refused_is_alone(
    context: Any, studio: Studio, web: Any
) -> None:
    original, odd = studio._store, sorted(WANTED)[3]

    def refuse_odd(rows: Any) -> Any:
        return (400, {"detail": "odd"}) if any(row["task"] == odd for row in rows) else original(rows)

    studio._store = refuse_odd  # type: ignore[method-assign]
    ask(context)
    work_off(context.settings)
    assert state(context) == "done" and predicted(studio) == Counter(WANTED - {odd})
    assert totals(context)["dropped"] == 1


def test_unreadable_tasks_are_declined_and_counted(context: Any, studio: Studio, web: Any) -> None:
    studio._describe = describe_unreadable(studio)  # type: ignore[method-assign]
    ask(context)
    work_off(context.settings)
    assert state(context) == "done" and predicted(studio) == Counter(WANTED - {106, 109})
    assert totals(context)["declined"] == 2


def describe_unreadable(studio: Studio) -> Any:
    original = studio._describe
    return lambda task: {**original(task), **({"data": MISTAKE} if task in (106, 109) else {})}


def test_each_portion_is_written_under_the_version_that_answered_it(
    context: Any,
    studio: Studio,
    web: Any,
    letters: Letters,  # noqa: F811
) -> None:
    from backend.jobs.learn.refit import refit

    run = ask(context)
    predict(PROJECT, run, PLANNING_CALL)
    assert predict(PROJECT, run, 0) == "done"
    letters.add(24)
    refit(PROJECT)
    live = context.stores.versions.live(PROJECT)
    wait_until(lambda: bool(web.registry.version_of(PROJECT) == live))
    work_off(context.settings)
    versions = Counter(row["model_version"] for row in studio.predictions)
    assert state(context) == "done" and predicted(studio) == Counter(WANTED)
    assert set(versions) == {"v0", live} and version_order(live) > version_order("v0")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("status", [503, 500])
def test_a_label_studio_that_is_away_is_waited_for(context: Any, studio: Studio, web: Any, status: int) -> None:
    path = ("POST", f"/api/projects/{PROJECT}/import/predictions")
    studio.refuse[path] = status
    ask(context)
    work_off(context.settings)
    assert state(context) == "running" and not studio.predictions
    assert f"refused with {status}" in context.stores.failures.describe(PROJECT)["predict"]["error"]
    tick_twice(context)
    assert context.stores.queue.length("backend.jobs.predict.predict.predict") == 0, "not while it waits"
    for number in range(SHARD_ATTEMPTS + 1):
        if number == SHARD_ATTEMPTS:
            studio.refuse.clear()
        context.stores.failures.release(PROJECT, "predict")
        breaker_of.cache_clear()
        tick_twice(context)
        work_off(context.settings)
    assert state(context) == "done" and predicted(studio) == Counter(WANTED)
    assert "predict" not in context.stores.failures.describe(PROJECT)


def test_a_wrong_token_ends_the_run_with_the_reason(context: Any, studio: Studio, web: Any) -> None:
    context.settings = context.settings.model_copy(update={"label_studio_api_key": SecretStr("0" * 40)})
    ask(context)
    work_off(context.settings)
    record = context.stores.prediction_runs.find(PROJECT)
    assert record["status"] == "failed" and "not a valid token" in record["message"]


def test_a_cancelled_run_writes_no_more_and_another_may_begin(context: Any, studio: Studio, web: Any) -> None:
    run, runs = ask(context), context.stores.prediction_runs
    predict(PROJECT, run, PLANNING_CALL)
    assert predict(PROJECT, run, 0) == "done"
    count = len(studio.predictions)
    assert runs.request(PROJECT, "test", False)[0]["id"] == run, "one run a project"
    assert runs.finish(PROJECT, run, "cancelled") and not runs.finish(PROJECT, run, "done")
    work_off(context.settings)
    assert state(context) == "cancelled" and len(studio.predictions) == count
    ask(context)
    work_off(context.settings)
    assert predicted(studio) == Counter(WANTED)


def test_where_writing_takes_the_time_more_is_written_at_a_time(context: Any, studio: Studio, web: Any) -> None:
    studio.import_seconds = 0.5
    ask(context)
    work_off(context.settings)
    path = ("POST", f"/api/projects/{PROJECT}/import/predictions")
    assert predicted(studio) == Counter(WANTED) and studio.seen[path] < len(WANTED) / PORTION
    assert context.stores.prediction_runs.find(PROJECT)["portion"] > 1


@pytest.mark.parametrize(("first", "last", "tasks"), [(1, 1, 1), (5, 9, 3), (1, 10**6, 10**6), (7, 10**9, 900)])
def test_a_range_is_cut_without_gaps_or_overlaps(first: int, last: int, tasks: int) -> None:
    shards = cut_range(first, last, tasks)
    assert shards[0][0] == first and shards[-1][1] is None and 1 <= len(shards) <= module.MOST_SHARDS
    assert all(end is not None and end + 1 == after for (_, end), (after, _) in pairwise(shards))
    assert all(end is None or end >= start for start, end in shards)


def test_what_is_stored_reads_as_the_same_answer(context: Any, studio: Studio, web: Any) -> None:
    from backend.labelstudio.task_spec import parse_label_config

    ask(context)
    work_off(context.settings)
    spec = parse_label_config(choices_config(["a", "e"]))
    for row in json.loads(json.dumps(studio.predictions)):
        assert read_targets(spec, row["result"])["label"] in ([["a"]], [["e"]]) and 0 <= row["score"] <= 1


CONTROL = {"type": "Choices", "to_name": ["text"], "inputs": [{"type": "Text", "value": "text"}], "labels": ["e"]}


def test_what_the_import_drops_unsaid_is_told_with_tasks_and_reason(context: Any, studio: Studio, web: Any) -> None:
    from backend.application.prediction_runs import describe_prediction
    from backend.cli.predict import describe_refused

    studio.parsed = {"label": CONTROL}
    studio.unfit = lambda row: row["result"][0]["value"]["choices"] == ["a"]
    ask(context)
    work_off(context.settings)
    dropped = sorted(WANTED - set(predicted(studio)))
    assert state(context) == "done" and dropped and predicted(studio) == Counter(WANTED - set(dropped))
    assert totals(context)["written"] + totals(context)["dropped"] == len(WANTED)
    assert totals(context)["dropped"] == len(dropped)
    (row,) = (record := describe_prediction(context.stores, PROJECT))["refused"]
    assert row == {
        "words": "its label config has no label 'a' in 'label'",
        "count": len(dropped),
        "tasks": dropped[:20],
    }
    (line,) = describe_refused(record)
    assert line.startswith(
        f"{len(dropped)} predictions were refused by Label Studio: its label config has no label 'a'"
    )
    assert f"(tasks {dropped[0]}, {dropped[1]}" in line


def test_what_is_dropped_for_a_config_that_changed_goes_at_the_second_time(
    context: Any, studio: Studio, web: Any
) -> None:
    dropped: list[int] = []

    def unfit(row: dict[str, Any]) -> bool:
        first = len(dropped) < 3 and row["task"] not in dropped
        dropped.extend([row["task"]] if first else [])
        return first

    studio.unfit = unfit
    ask(context)
    work_off(context.settings)
    assert len(dropped) == 3 and predicted(studio) == Counter(WANTED) and totals(context)["dropped"] == 0
    assert all("refused" not in shard for shard in context.stores.prediction_runs.shards(PROJECT).values())


def test_tasks_that_are_deleted_meanwhile_are_told_as_gone(context: Any, studio: Studio, web: Any) -> None:
    gone = sorted(WANTED)[4]
    studio.unfit = lambda row: bool(row["task"] == gone and studio.tasks.pop(gone, None))
    ask(context)
    work_off(context.settings)
    refused = [
        shard["refused"] for shard in context.stores.prediction_runs.shards(PROJECT).values() if "refused" in shard
    ]
    assert refused == [{"the task is gone": {"count": 1, "tasks": [gone]}}]


def test_long_documents_are_listed_and_asked_for_a_few_at_a_time(
    context: Any, studio: Studio, web: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    ask_all = prediction_walk.PredictClient.predict

    def note(self: Any, project: int, tasks: Any) -> Any:
        asked.append(sum(len(task["data"]["text"]) for task in tasks))
        return ask_all(self, project, tasks)

    monkeypatch.setattr(prediction_walk.PredictClient, "predict", note)
    monkeypatch.setattr(prediction_walk, "REQUEST_CHARACTERS", 1000)
    monkeypatch.setattr(prediction_walk, "PORTION_BYTES", 2000)
    studio.tasks = {task: text + " x" * 200 for task, text in studio.tasks.items()}
    ask(context)
    work_off(context.settings)
    assert predicted(studio) == Counter(WANTED) and max(asked) <= 1000 and len(asked) >= len(WANTED) / 2
