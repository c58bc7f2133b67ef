"""From labels to a queue: the plan on a real store with the real encoder, and its writing into a Label Studio stub."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from backend.application.task_queue import describe_queue
from backend.doctor.learning import judge_handed
from backend.jobs.learn.refit import refit
from backend.jobs.task_queue.plan import plan
from backend.jobs.task_queue.schedule import QueueScheduler
from backend.jobs.task_queue.write import steer
from backend.labelstudio.label_config.assist_controls import BLIND_LINE
from model.acquisition.batch import is_blind, is_explored
from model.failpoints import arm
from tests.backend.conftest import PROJECT, Labels
from tests.support import studio as studio_stub
from tests.support.queue_studio import Studio
from tests.support.rig import choices_config


@pytest.fixture
def studio(context: Any) -> Iterator[Studio]:
    server = Studio(context.settings.url)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    secret = {"label_studio_url": server.url, "label_studio_api_key": SecretStr(studio_stub.TOKEN)}
    context.settings = context.settings.model_copy(update={**secret, "queue_size": 16, "queue_seconds": 0.0})
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def pool(context: Any, labels: Labels, once: Callable[..., None]) -> Labels:
    """60 labelled messages, 200 in the pool (the labelled ones among them)."""

    def learn() -> None:
        labels.add(0, 60)
        documents = {number + 1: {"text": text} for number, (text, _) in enumerate(labels.rows[:200])}
        context.stores.projects.add_pool(PROJECT, documents, 4000)
        assert refit(PROJECT) == "published"

    once(learn)
    return labels


def entries(context: Any) -> list[dict[str, Any]]:
    return list(context.stores.task_queue.plan(PROJECT)["entries"])


def test_a_plan_holds_what_predict_would_say_of_uncertain_unlabelled_tasks(context: Any, pool: Labels) -> None:
    assert plan(PROJECT) == "planned"
    found, state = context.stores.task_queue.plan(PROJECT), context.stores.task_queue.state(PROJECT)
    assert (found["rows"], found["open"], found["unread"], found["answers"]) == (200, 140, 0, 60)
    assert state["planned_live"] == context.stores.versions.live(PROJECT)
    assert len(found["entries"]) == 64 and all(entry["task"] > 60 for entry in found["entries"])
    model = context.live_model(PROJECT, found["live"])
    for entry in found["entries"]:
        answer = model.predict([{"text": pool.rows[entry["task"] - 1][0]}])[0][0]
        blind = is_blind(PROJECT, entry["task"], 0.05)
        assert entry["score"] == (0.0 if blind else pytest.approx(answer.score, abs=1e-5))
        assert (entry["role"] == "blind") == blind and bool(entry["result"]) != blind
        assert (entry["cluster"] is None) == (entry["role"] == "chosen")
    chosen = [entry["score"] for entry in found["entries"] if entry["role"] == "chosen"]
    rest = [row for row in range(60, 200) if row + 1 not in {entry["task"] for entry in found["entries"]}]
    others = [model.predict([{"text": pool.rows[row][0]}])[0][0].score for row in rest]
    assert sum(chosen) / len(chosen) < sum(others) / len(others), "the model learns most from what it is unsure of"


def test_plans_of_one_version_agree_and_labels_leave_the_plan(context: Any, pool: Labels) -> None:
    plan(PROJECT)
    plan(PROJECT)
    state = json.loads(context.stores.projects._redis.get(f"understudy:{{p{PROJECT}}}:plan"))
    assert [found["kappa"] for found in state["agreements"]] == [1.0]
    first = [entry["task"] for entry in entries(context)]
    pool.add(first[0] - 1, first[0])
    context.stores.task_queue.skip(PROJECT, [first[1]])
    plan(PROJECT)
    assert not {first[0], first[1]} & {entry["task"] for entry in entries(context)}


def test_a_text_that_is_labelled_or_planned_is_not_handed_out_again(context: Any, pool: Labels) -> None:
    plan(PROJECT)
    first = next(entry["task"] for entry in entries(context) if entry["role"] == "chosen")
    free = [n for n in range(300, 900) if not is_blind(PROJECT, n, 0.05) and not is_explored(PROJECT, n, 0.05, 0.05)]
    copies = {number: {"text": f"{pool.rows[first - 1][0].upper()} "} for number in free[:80]}
    labelled = {number: {"text": pool.rows[0][0]} for number in free[80:160]}
    context.stores.projects.add_pool(PROJECT, {**copies, **labelled}, 4000)
    plan(PROJECT)
    told = [entry["task"] for entry in entries(context) if entry["role"] != "blind"]
    assert len(set(told) & {first, *copies}) == 1 and not set(told) & set(labelled)
    context.stores.task_queue.skip(PROJECT, range(1, 201))
    plan(PROJECT)
    assert [entry["task"] for entry in entries(context)] in [[number] for number in copies]
    context.stores.task_queue.skip(PROJECT, copies)
    plan(PROJECT)
    found = entries(context)
    assert {entry["task"] for entry in found} <= set(labelled) and len(found) == 64, "nothing else is left"
    name = pool.rows[0][1]
    for entry in found:
        assert entry["result"][0]["value"]["choices"] == [name] and entry["score"] > 0.97, "as /predict says"


def test_a_plan_reads_a_text_once_long_ones_as_well(context: Any, pool: Labels) -> None:
    long = " ".join(f"Sentence number {number} asks where my parcel is." for number in range(60))
    context.stores.projects.add_pool(PROJECT, {5_000: {"text": long}, 5_001: {"text": long}}, 4000)
    assert plan(PROJECT) == "planned"
    base, found = context.encoders.base, context.stores.task_queue.plan(PROJECT)
    assert (found["rows"], found["unread"]) == (202, 0)
    read = base.misses
    assert plan(PROJECT) == "planned" and base.misses == read


def test_texts_that_the_cache_has_no_room_for_are_left_to_the_next_plan(context: Any, pool: Labels) -> None:
    base = context.encoders.base
    base.cache._bytes = 0  # room for 256 texts, the least there is
    more = {6_000 + number: {"text": f"another text {number}"} for number in range(400)}
    context.stores.projects.add_pool(PROJECT, more, 4000)
    assert plan(PROJECT) == "planned"
    found = context.stores.task_queue.plan(PROJECT)
    assert found["rows"] > 0 and found["rows"] + found["unread"] == 600 and found["unread"] > 0


def test_without_a_version_nothing_is_planned(context: Any, labels: Labels) -> None:
    assert plan(PROJECT) == "no version"


def test_a_plan_that_fails_is_put_off(context: Any, pool: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.acquisition.strategies.STRATEGIES", {})
    assert plan(PROJECT) == "failed" and plan(PROJECT).startswith("waits")
    assert "margin_clusters" in context.stores.failures.describe(PROJECT)["plan"]["error"]


def test_in_a_large_project_a_batch_is_written_one_by_one(context: Any, pool: Labels, studio: Studio) -> None:
    """Label Studio's bulk import counts the whole project anew, whatever it brings."""
    plan(PROJECT)
    assert steer(PROJECT).startswith("steered: understudy queue 1, 16 tasks")
    in_bulk = studio.of("understudy queue 1")
    imported = ("POST", f"/api/projects/{PROJECT}/import/predictions")
    assert studio.seen[imported] == 1
    studio.size = 1_000_000
    assert steer(PROJECT).startswith("steered: understudy queue 2, 16 tasks")
    assert studio.seen[imported] == 1
    alone = studio.of("understudy queue 2")
    for task, row in in_bulk.items():
        assert alone[task]["result"] == row["result"] and alone[task]["score"] == row["score"]
        assert ("cluster" in alone[task]) == (row["cluster"] is not None)


def test_steering_replaces_the_queue_without_a_gap(context: Any, pool: Labels, studio: Studio) -> None:
    plan(PROJECT)
    studio.predictions.append({"task": 1, "model_version": "v0.1", "result": [], "score": 0.5, "cluster": None})
    for number in range(1, 6):
        assert steer(PROJECT).startswith(f"steered: understudy queue {number}, 16 tasks")
        assert studio.model_version == studio.title == f"understudy queue {number}"
    assert None not in studio.names, "a name without predictions is a random queue"
    versions = {row["model_version"] for row in studio.predictions}
    assert versions == {"v0.1", "understudy queue 4", "understudy queue 5"}, "the last two, and live ones stay"
    shown = studio.of("understudy queue 5")
    for entry in entries(context):
        row = shown[entry["task"]]
        assert (row["score"], row["result"]) == (entry["score"], entry["result"])
    clusters = [row["cluster"] for row in studio.predictions if row["cluster"] is not None]
    assert clusters and len(clusters) == len(set(clusters)), "nobody has solved a task of these clusters"
    assert context.stores.task_queue.steered() == {PROJECT}
    state = context.stores.task_queue.state(PROJECT)
    assert (state["version"], state["tasks"]) == ("understudy queue 5", 16)


def test_tasks_on_somebodys_screen_are_left_out(context: Any, pool: Labels, studio: Studio) -> None:
    plan(PROJECT)
    studio.busy = {entry["task"] for entry in entries(context)[:5]}
    assert "11 tasks" in steer(PROJECT)
    assert context.stores.task_queue.passed(PROJECT) == studio.busy
    plan(PROJECT)
    assert not studio.busy & {entry["task"] for entry in entries(context)}
    studio.busy = {entry["task"] for entry in entries(context)}
    assert steer(PROJECT) == "nothing left to queue"
    assert studio.model_version == "understudy queue 1", "what is in the queue stays"


@pytest.mark.parametrize("part", ["/import/predictions", "/api/predictions/"])
def test_a_queue_that_is_not_whole_is_never_named(context: Any, pool: Labels, studio: Studio, part: str) -> None:
    plan(PROJECT)
    steer(PROJECT)
    studio.refuse.add(part)
    monkey = context.stores.failures
    assert steer(PROJECT) == "failed"
    assert studio.model_version == studio.title == "understudy queue 1"
    studio.refuse.clear()
    monkey.release(PROJECT, "steer")
    assert steer(PROJECT).startswith("steered: understudy queue 3")
    assert {row["model_version"] for row in studio.predictions} == {"understudy queue 1", "understudy queue 3"}


@pytest.mark.parametrize("step", ["queue.write", "queue.before_switch", "queue.after_switch"])
def test_steering_that_breaks_off_anywhere_leaves_a_whole_queue(
    context: Any, pool: Labels, studio: Studio, step: str
) -> None:
    plan(PROJECT)
    steer(PROJECT)
    arm(f"raise:{step}")
    try:
        assert steer(PROJECT) == "failed"
    finally:
        arm("")
    assert studio.of(studio.model_version), "the queue that is named has its predictions"
    context.stores.failures.release(PROJECT, "steer")
    assert steer(PROJECT).startswith("steered: understudy queue 3")
    assert studio.model_version == studio.title == "understudy queue 3" and None not in studio.names
    assert len({row["model_version"] for row in studio.predictions}) <= 2, "what broke off is cleaned up"


def test_a_backend_left_behind_gets_its_name_the_next_time(context: Any, pool: Labels, studio: Studio) -> None:
    plan(PROJECT)
    steer(PROJECT)
    studio.title = "understudy queue 0"  # killed between the switch and the renaming
    steer(PROJECT)
    assert studio.model_version == studio.title == "understudy queue 2" and None not in studio.names


def test_a_project_with_another_sampling_is_left_alone(context: Any, pool: Labels, studio: Studio) -> None:
    plan(PROJECT)
    studio.sampling = "Sequential sampling"
    assert steer(PROJECT) == "off: the project's task sampling is not Uncertainty sampling"
    assert not studio.predictions and context.stores.task_queue.steered() == set()
    studio.sampling, studio.backend_url = "Uncertainty sampling", "http://elsewhere:9090"
    assert steer(PROJECT).startswith("off: the project is not connected to")


def test_a_project_that_is_disconnected_while_its_queue_is_written_keeps_nothing_of_it(
    context: Any, pool: Labels, studio: Studio
) -> None:
    plan(PROJECT)
    steer(PROJECT)
    before = studio.of("understudy queue 1")

    def disconnect() -> None:
        studio.sampling, studio.is_connected, studio.title = "Sequential sampling", False, ""

    studio.meanwhile = disconnect
    assert steer(PROJECT) == "off: the project's task sampling is not Uncertainty sampling"
    assert studio.model_version == "understudy queue 1" and None not in studio.names
    assert len(studio.predictions) == len(before), "what was written goes again"
    assert studio.tabs.rows == [] and context.stores.task_queue.steered() == set()


def test_a_project_whose_sampling_changes_while_its_queue_is_written_keeps_the_queue_before(
    context: Any, pool: Labels, studio: Studio
) -> None:
    plan(PROJECT)
    steer(PROJECT)

    def choose_another() -> None:
        studio.sampling = "Sequential sampling"

    studio.meanwhile = choose_another
    assert steer(PROJECT).startswith("off: ")
    assert studio.model_version == studio.title == "understudy queue 1" and None not in studio.names
    assert len(studio.of("understudy queue 1")) == 16 and "off_at" in context.stores.task_queue.state(PROJECT)
    studio.sampling, studio.meanwhile = "Uncertainty sampling", lambda: None
    assert steer(PROJECT).startswith("steered: understudy queue 3")
    assert {row["model_version"] for row in studio.predictions} == {"understudy queue 1", "understudy queue 3"}


def test_links_follow_the_queue_as_long_as_it_is_steered(context: Any, pool: Labels, studio: Studio) -> None:
    plan(PROJECT)
    steer(PROJECT)
    (tab,) = studio.tabs.rows
    assert tab["data"]["ordering"] == ["tasks:predictions_score"]
    steer(PROJECT)
    assert len(studio.tabs.rows) == 1
    own = studio.tabs.add(title="mine", ordering=["-tasks:id"])
    studio.sampling = "Sequential sampling"
    steer(PROJECT)
    assert studio.tabs.rows == [own], "who chooses another sampling has the tabs back"
    studio.sampling, studio.refuse = "Uncertainty sampling", {"/api/dm/views"}
    assert steer(PROJECT).startswith("steered: understudy queue 3"), "the queue does not depend on the tabs"


def test_labels_of_the_queue_are_told_from_others(
    context: Any, pool: Labels, studio: Studio, services: Any, client: Any
) -> None:
    plan(PROJECT)
    steer(PROJECT)
    wait_until_steered(services)
    queued = sorted(studio.of(studio.model_version))
    others = [task for task in range(61, 200) if task not in queued]
    for number, task in enumerate([*queued[:3], *others[:9]]):
        text, label = pool.rows[task - 1]
        result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]
        annotation = {"id": 1000 + number, "task": task, "result": result, "updated_at": "2026-02-01T00:00:00Z"}
        body = {"action": "ANNOTATION_CREATED", "project": {"id": PROJECT}, "annotation": annotation}
        body["task"] = {"id": task, "data": {"text": text}}
        for again in ("ANNOTATION_CREATED", "ANNOTATION_UPDATED"):
            assert client.post("/webhook", json={**body, "action": again}).status_code == 200
    deadline = time.monotonic() + 120
    while context.stores.label_stream.handed(PROJECT).labels < 12:
        assert time.monotonic() < deadline, "the labels are not counted"
        time.sleep(0.1)
    shown = describe_queue(context.settings, services.stores, PROJECT)
    assert shown["handed"] == {"labels": 12, "of_queue": 3}
    metrics = client.get("/metrics").get_data(as_text=True)
    assert f'understudy_queue_labels_last{{project="{PROJECT}"}} 12.0' in metrics
    assert f'understudy_queue_labels_handed{{project="{PROJECT}"}} 3.0' in metrics
    (verdict,) = judge_handed(PROJECT, context.stores.label_stream.handed(PROJECT))
    assert verdict.state == "warn" and "Label All Tasks" in verdict.remedy


def test_the_annotator_of_a_blind_task_is_told_so_where_a_control_lets_us(
    context: Any, pool: Labels, studio: Studio, services: Any, client: Any
) -> None:
    helper = '<TextArea name="understudy" toName="text"/>'
    config = choices_config(pool.names).replace("<Choices", f"{helper}<Choices", 1)
    context.stores.projects.save_config(PROJECT, config)
    assert refit(PROJECT)
    plan(PROJECT)
    steer(PROJECT)
    shown = studio.of(studio.model_version)
    blind = [row for task, row in shown.items() if is_blind(PROJECT, task, 0.05)]
    assert blind and all(said(row["result"]) == [BLIND_LINE] and row["score"] == 0.0 for row in blind)
    assert len(blind) < len(shown)
    assert not any(BLIND_LINE in json.dumps(row) for row in shown.values() if row not in blind)
    wait_until_steered(services)
    tasks = [{"id": number + 1, "data": {"text": text}} for number, (text, _) in enumerate(pool.rows[:100])]
    body = {"project": f"{PROJECT}.1", "tasks": tasks, "label_config": config}
    answered = client.post("/predict", json=body).get_json()
    for task, item in zip(tasks, answered["results"], strict=True):
        assert (said(item["result"]) == [BLIND_LINE]) == is_blind(PROJECT, task["id"], 0.05)
        assert item["model_version"] == answered["model_version"]
    walked = client.post("/predict", json={**body, "say_blind": False}).get_json()["results"]
    assert [item == [] for item in walked] == [is_blind(PROJECT, task["id"], 0.05) for task in tasks]


def said(result: list[dict[str, Any]]) -> list[str]:
    """What the results say, when they are of the helper alone."""
    return result[0]["value"]["text"] if [item["from_name"] for item in result] == ["understudy"] else []


def wait_until_steered(services: Any) -> None:
    deadline = time.monotonic() + 120
    while PROJECT not in services.background.steered:
        assert time.monotonic() < deadline, "the web process has not noticed"
        time.sleep(0.1)


def test_numbers_go_on_when_redis_has_forgotten_them(context: Any, pool: Labels, studio: Studio) -> None:
    studio.title = studio.model_version = "understudy queue 41"
    plan(PROJECT)
    assert steer(PROJECT).startswith("steered: understudy queue 42")


def test_the_scheduler_asks_for_plan_and_writing_until_both_are_done(
    context: Any, pool: Labels, studio: Studio
) -> None:
    assert plan(PROJECT) == "planned", "reads the texts while nobody waits for the learner"
    context.stores.task_queue.switch(PROJECT, "not connected")
    context.stores.task_queue.recheck(PROJECT)
    scheduler, steering = QueueScheduler(context.settings, context.stores), context.stores.task_queue

    def waiting() -> list[str]:
        found = []
        for name in ("learn", "sync"):
            found += [re.sub(r".*\.", "", job) for job in jobs_of(context, name) if "refit" not in job]
        return found

    before = waiting()
    scheduler.schedule(PROJECT)
    scheduler.schedule(PROJECT)
    assert waiting() == ["plan", *before], "asked once"
    assert plan(PROJECT) == "planned"
    scheduler.schedule(PROJECT)
    assert waiting() == ["plan", "steer"]
    steer(PROJECT)
    scheduler.schedule(PROJECT)
    assert waiting() == ["plan", "steer"], "nothing is due"
    for name in ("learn", "sync"):  # what waits has been done above: of each project one plan and one writing wait
        queue_of(context, name).empty()
    pool.add(60, 70)
    scheduler.schedule(PROJECT)
    assert waiting() == ["plan"], "ten of 16 may be used up"
    steering.compare(PROJECT, "another name")
    assert "planned_at" not in steering.state(PROJECT), "somebody changed the name by hand: planned anew"


def test_labels_of_tasks_drawn_at_random_are_known_as_such(context: Any, pool: Labels) -> None:
    """What the model said of them before it learned them is the unbiased part of the evidence."""
    blind = next(task for task in range(61, 200) if is_blind(PROJECT, task, 0.05))
    explored = next(task for task in range(61, 200) if is_explored(PROJECT, task, 0.05, 0.05))
    other = next(task for task in range(61, 200) if not is_blind(PROJECT, task, 0.1))
    for steered, tasks in ((False, [blind]), (True, [explored, other])):
        context.stores.task_queue.switch(PROJECT, "" if steered else "not connected")
        for task in tasks:
            pool.add(task - 1, task)
        refit(PROJECT)
    kept = {row.annotation: row for row in context.stores.evidence.rows(PROJECT, 10)}
    assert not kept[blind].blind, "it had its pre-label while nothing was steered"
    assert kept[explored].explore and not kept[explored].blind
    assert not kept[other].blind and not kept[other].explore


def test_predict_declines_blind_tasks_of_a_steered_project(
    context: Any, pool: Labels, services: Any, client: Any
) -> None:
    tasks = [{"id": number + 1, "data": {"text": text}} for number, (text, _) in enumerate(pool.rows[:100])]
    body = {"project": f"{PROJECT}.1", "tasks": tasks, "label_config": choices_config(pool.names)}

    def declined() -> set[int]:
        results = client.post("/predict", json=body).get_json()["results"]
        return {task["id"] for task, item in zip(tasks, results, strict=True) if item == []}

    assert declined() == set()
    context.stores.task_queue.switch(PROJECT)
    wait_until_steered(services)
    assert declined() == {task for task in range(1, 101) if is_blind(PROJECT, task, 0.05)} != set()
    project = {"id": PROJECT, "sampling": "Sequential sampling"}
    assert client.post("/webhook", json={"action": "PROJECT_UPDATED", "project": project}).status_code == 200
    assert context.stores.task_queue.steered() == set(), "switched off where people expect it"
    assert "off_at" in context.stores.task_queue.state(PROJECT)
    project["sampling"] = "Uncertainty sampling"
    client.post("/webhook", json={"action": "PROJECT_UPDATED", "project": {**project, "title": "Mails"}})
    assert context.stores.projects.title(PROJECT) == "Mails"
    assert not {"off_at", "planned_at"} & set(context.stores.task_queue.state(PROJECT)), "planned again at once"
    assert "declined_total" in client.get("/metrics").get_data(as_text=True)


def queue_of(context: Any, name: str) -> Any:
    from rq import Queue
    from rq.serializers import JSONSerializer

    return Queue(name, connection=context.stores.queue._redis, serializer=JSONSerializer)


def jobs_of(context: Any, name: str) -> list[str]:
    return [job.func_name for job in queue_of(context, name).jobs]
