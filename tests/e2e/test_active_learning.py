"""The queue on the real Label Studio: who labels gets the tasks that were chosen, whatever is published meanwhile."""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from scipy.stats import hypergeom
from selenium import webdriver

from backend.jobs.sync.pool_tab import TAB_TITLE
from backend.settings.settings import Settings
from backend.store.stores import Stores
from model.acquisition.batch import is_blind
from tests.e2e.conftest import (
    ARTIFACTS,
    PASSWORD,
    PATIENCE,
    USER,
    Backend,
    Studio,
    choices_result,
    label_of,
    log_in,
    wait_until,
)
from tests.e2e.data_manager import ROUNDED, make_tab, rows_of
from tests.e2e.queue import BY_SCORE, SCORE, VERSIONS, Queue
from tests.support.rig import choices_config

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

TASKS, SIZE = 600, 24
SWITCHES = int(os.environ.get("UNDERSTUDY_QUEUE_SWITCHES", "20"))
"""Queues that replace one another while people label."""

LEAD_SECONDS = 30.0
"""What is told of each label: Label Studio locks a task for three times the usual lead time."""

PAUSE = 1.0
"""Seconds between two tasks of one annotator."""

LEFT = 6
"""Tasks of the queue that are left when robots wait for the next one, as people, who are slower, need not. Where all of
them are on others' screens, Label Studio has no task at all, or any; and a busy machine plans more slowly than three
robots label."""

MOST = 170
"""Tasks of one annotator: together they leave some."""


class Annotator(threading.Thread):
    """Labels what Label Studio hands out next until told to stop; remembers what came, and what the queue was."""

    def __init__(self, studio: Studio, token: str, project: int, labels: dict[str, str], queue: Callable[[], set[int]]):
        super().__init__(daemon=True)
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Token {token}"
        self._url, self._project, self._labels, self._queue = studio.server.url, project, labels, queue
        self.stop = threading.Event()
        self.handed: list[dict[str, Any]] = []
        self.may_go_on: Callable[[], bool] = lambda: True
        self.error = ""

    def run(self) -> None:
        try:
            while not self.stop.wait(PAUSE) and len(self.handed) < MOST:
                if self.may_go_on():
                    self.step()
        except Exception as error:
            self.error = repr(error)

    def ask(self) -> dict[str, Any]:
        """The next task, which Label Studio locks."""
        reply = self.session.get(f"{self._url}/api/projects/{self._project}/next", timeout=60)
        assert reply.status_code == 200, reply.text[:300]
        return dict(reply.json())

    def step(self) -> dict[str, Any]:
        """One task; what was seen of it."""
        before = self._queue()
        task = self.ask()
        seen = {"task": task["id"], "chosen": task["id"] in before | self._queue(), "labelled": task["is_labeled"]}
        seen["predictions"] = [(p["model_version"], bool(p["result"])) for p in task["predictions"]]
        self.handed.append(seen)
        body = {"result": choices_result(self._labels[task["data"]["text"]]), "lead_time": LEAD_SECONDS}
        posted = self.session.post(f"{self._url}/api/tasks/{task['id']}/annotations/", json=body, timeout=60)
        assert posted.status_code == 201, posted.text[:300]
        return seen


@pytest.fixture(scope="module")
def learning(label_studio: Studio) -> Iterator[Backend]:
    rig = Backend(
        LABEL_STUDIO_URL=label_studio.server.url,
        LABEL_STUDIO_API_KEY=label_studio.server.access_token,
        BASIC_AUTH_USER=USER,
        BASIC_AUTH_PASS=PASSWORD,
        FINETUNE_ENABLED="false",
        QUEUE_SIZE=str(SIZE),
        QUEUE_SECONDS="1",
        HUNT_SHARE="0.5",  # the most, so that few labels show it
    )
    rig.configs = {}
    with rig:
        yield rig


@pytest.fixture(scope="module")
def queue(label_studio: Studio, learning: Backend, config: str, rows: list[tuple[str, str]]) -> Iterator[Queue]:
    project = label_studio.create_project("active learning", config)
    label_studio.import_texts(project, [text for text, _ in rows[:TASKS]])
    learning.understudy("connect", "--project", str(project))
    stores = Stores(Settings(data_dir=learning.data_dir, redis_url=""))
    found = Queue(stores, project)
    wait_until(lambda: found.state().get("version"), "a first queue")
    hidden = next(task for task in label_studio.tasks(project) if is_blind(project, task["id"], 0.05))
    asked = {"project": f"{project}.1", "label_config": config, "tasks": [{key: hidden[key] for key in ("id", "data")}]}
    wait_until(
        lambda: not any(item.get("result") for item in learning.post("/predict", asked)["results"] if item),
        "the web process knows that the queue steers",
    )
    yield found
    stores.close()


def members(studio: Studio, count: int) -> list[str]:
    """Legacy tokens of other annotators of the same organisation."""
    tokens = []
    for number in range(count):
        mail = f"annotator-{number}-{time.time_ns()}@example.com"
        invite = studio.call("GET", "/api/invite")["token"]
        session = requests.Session()
        page = session.get(f"{studio.server.url}/user/signup/?token={invite}", timeout=60)
        assert page.status_code == 200
        form = {"email": mail, "password": "annotator-p4ss", "csrfmiddlewaretoken": session.cookies["csrftoken"]}
        headers = {"Referer": f"{studio.server.url}/user/signup/"}
        url = f"{studio.server.url}/user/signup/?token={invite}"
        session.post(url, data=form, headers=headers, timeout=60)
        reply = session.get(f"{studio.server.url}/api/current-user/token", timeout=60)
        assert reply.status_code == 200, reply.text[:300]
        tokens.append(str(reply.json()["token"]))
    return tokens


def test_the_chosen_tasks_come_and_blind_ones_without_an_answer(
    label_studio: Studio, learning: Backend, queue: Queue, rows: list[tuple[str, str]]
) -> None:
    one = Annotator(label_studio, label_studio.server.legacy_token, queue.project, dict(rows), queue.tasks)
    seen, judged = [], []
    for _ in range(SIZE // 2):
        seen.append(one.step())
        # Label Studio reads the queue's name twice: a task chosen before a switch and told after it has no answer.
        if seen[-1]["task"] in {entry["task"] for entry in queue.plan()["entries"]}:
            judged.append(seen[-1])
    assert sum(entry["chosen"] for entry in seen) >= 0.95 * len(seen), seen
    assert not any(entry["labelled"] for entry in seen)
    blind = [entry for entry in seen if is_blind(queue.project, entry["task"], 0.05)]
    assert blind, "the first tasks hold a blind one"
    assert len(judged) >= len(seen) / 2
    for entry in judged:
        answered = any(has_result for _, has_result in entry["predictions"])
        assert answered == (entry not in blind), entry
    wait_until(lambda: len(learning.examples(queue.project)) == len(seen), "all labels are stored")


def test_the_order_changes_when_the_model_has_learned(
    label_studio: Studio, learning: Backend, queue: Queue, rows: list[tuple[str, str]]
) -> None:
    one = Annotator(label_studio, label_studio.server.legacy_token, queue.project, dict(rows), queue.tasks)
    # The labels of the test before ask for a plan of their own; the next one needs eight more.
    wait_until(lambda: queue.state()["answers"] >= 8 and queue.is_written(), "the queue of the labels there are")
    before = queue.state()
    batch = {entry["task"] for entry in queue.plan()["entries"]}

    def is_replaced() -> bool:
        if len(one.handed) < SIZE - 4:
            one.step()
        return bool(queue.state()["version"] != before["version"])

    wait_until(is_replaced, "a new queue after new labels")
    assert all(entry["chosen"] for entry in one.handed)

    def read() -> tuple[set[int], str, dict[str, Any], str]:
        shown = label_studio.call("GET", f"/api/projects/{queue.project}/")["model_version"]
        planned = {entry["task"] for entry in queue.plan()["entries"]}
        return planned, learning.understudy("queue", str(queue.project)), queue.state(), str(shown)

    planned, words, after, shown = queue.steady(read)
    told = re.search(r"(\d+) tasks chosen by v0\.", words)
    labelled = planned & {entry["task"] for entry in one.handed}  # between plan and queue: left out of it
    assert told and len(planned) == SIZE and SIZE - len(labelled) <= int(told[1]) <= SIZE
    assert shown == after["version"] and after["answers"] > before["answers"]
    left = batch - {entry["task"] for entry in one.handed}
    assert planned - left, "others than those that were left"


def test_the_data_manager_orders_by_confidence(label_studio: Studio, queue: Queue) -> None:
    shown, plan, state = queue.steady(lambda: (queue.listed(label_studio), queue.plan(), queue.state()))
    scores = {entry["task"]: entry["score"] for entry in plan["entries"]}
    assert [score for _, score in shown] == sorted(score for _, score in shown)
    assert dict(shown) == pytest.approx({task: scores[task] for task, _ in shown}, abs=1e-5)
    assert len(shown) == state["tasks"], "those that were labelled between plan and queue are left out"


@pytest.mark.long
def test_three_annotators_while_queues_replace_one_another(
    label_studio: Studio, learning: Backend, queue: Queue, rows: list[tuple[str, str]]
) -> None:
    tokens = [label_studio.server.legacy_token, *members(label_studio, 2)]
    people = [Annotator(label_studio, token, queue.project, dict(rows), queue.tasks) for token in tokens]
    queue.tasks()  # remembers the batch that there is
    first = [person.ask()["id"] for person in people]
    assert len(set(first)) == 3 and set(first) <= queue.tasks(), "each a task of their own out of the batch"

    def is_filled() -> bool:
        labelled = {entry["task"] for person in people for entry in person.handed}
        return len(queue.written() - labelled) >= LEFT

    for person in people:
        person.may_go_on = is_filled
        person.start()
    versions: set[str] = set()
    try:
        for _ in range(SWITCHES):
            before = queue.state()["version"]
            learning.understudy("queue", str(queue.project), "--plan")
            versions.add(wait_until(lambda: (v := queue.state()["version"]) != before and v, "the next queue"))  # noqa: B023
    finally:
        for person in people:
            person.stop.set()
        for person in people:
            person.join(PATIENCE)
    assert not any(person.is_alive() for person in people)
    assert not [person.error for person in people if person.error]
    assert len(versions) == SWITCHES
    handed = [entry for person in people for entry in person.handed]
    assert min(len(person.handed) for person in people) >= SWITCHES, "everybody was at work"
    assert sum(entry["chosen"] for entry in handed) >= 0.95 * len(handed), [e for e in handed if not e["chosen"]]
    assert not any(entry["labelled"] for entry in handed)
    for person in people:
        assert len({entry["task"] for entry in person.handed}) == len(person.handed), "nobody gets a task twice"
    # Label Studio looks for a lock and sets it in two steps: on a slow machine two people may slip in between.
    assert len({entry["task"] for entry in handed}) >= 0.7 * len(handed)
    stored = queue.steady(lambda: label_studio.call("GET", f"/api/projects/{queue.project}/model-versions/"))
    assert len([version for version in stored if " queue " in version]) <= 3, stored


SCARCE, COMMON = "refund", ("delivery", "product question")
SCARCE_TASKS, COMMON_TASKS, KNOWN, ROUNDS, EACH = 12, 140, 12, 3, 8


def test_a_scarce_class_is_handed_out_far_more_often_than_at_random(
    label_studio: Studio, learning: Backend, rows: list[tuple[str, str]]
) -> None:
    """12 of 292 tasks are of a class without a label. Of 24 drawn at random .99 are of it, three times as many (3) or
    more in one of 15 draws, and `least` (4), four times as many, in one of 89 (hypergeometric)."""
    least, handed = 4, ROUNDS * EACH
    of_class = {label: [text for text, own in rows if own == label] for label in (SCARCE, *COMMON)}
    known = [(text, label) for label in COMMON for text in of_class[label][:KNOWN]]
    texts = [text for label in COMMON for text in of_class[label][KNOWN : KNOWN + COMMON_TASKS]]
    texts += of_class[SCARCE][:SCARCE_TASKS]
    random.Random(0).shuffle(texts)
    at_random = hypergeom(len(texts), SCARCE_TASKS, handed)
    assert least >= 3 * at_random.mean() and at_random.sf(least - 1) < 1 / 80

    project = label_studio.create_project("a scarce class", choices_config([SCARCE, *COMMON]))
    told = [{"data": {"text": text}, "annotations": [{"result": choices_result(label)}]} for text, label in known]
    label_studio.import_tasks(project, told)
    label_studio.import_texts(project, texts)
    learning.understudy("connect", "--project", str(project))
    stores = Stores(Settings(data_dir=learning.data_dir, redis_url=""))
    queue = Queue(stores, project)
    one = Annotator(label_studio, label_studio.server.legacy_token, project, dict(rows), queue.tasks)
    for batch in range(ROUNDS):
        told_now = len(known) + batch * EACH
        wait_until(lambda: queue.holds(told_now), "a queue that was chosen with all labels")  # noqa: B023
        for _ in range(EACH):
            one.step()
    scarce = set(of_class[SCARCE])
    text_of = {int(task["id"]): task["data"]["text"] for task in label_studio.tasks(project)}
    hits = sum(text_of[entry["task"]] in scarce for entry in one.handed)
    print("HITS", hits, [(entry["chosen"], entry["task"], text_of[entry["task"]] in scarce) for entry in one.handed])
    assert hits >= least, [text_of[entry["task"]][:60] for entry in one.handed]
    assert sum(entry["chosen"] for entry in one.handed) == handed
    learning.understudy("disconnect", "--project", str(project), "--predictions")
    stores.close()


def test_a_text_is_labelled_once(label_studio: Studio, learning: Backend, rows: list[tuple[str, str]]) -> None:
    """A label answers the duplicates of its text, which the queue does not hand out; another label is a suspect."""
    label, other = COMMON
    texts = [text for text, own in rows if own in COMMON][:30]
    copies = [f"{texts[0].upper()} ", f" {texts[0]}", texts[0].replace(" ", "  "), texts[0]]
    project = label_studio.create_project("the same text", choices_config([SCARCE, *COMMON]))
    label_studio.import_texts(project, [*texts, *copies])
    learning.understudy("connect", "--project", str(project))
    stores = Stores(Settings(data_dir=learning.data_dir, redis_url=""))
    queue = Queue(stores, project)
    tasks = [int(task["id"]) for task in label_studio.tasks(project)]
    first, twins = tasks[0], tasks[len(texts) :]
    wait_until(lambda: stores.projects.pool_size(project) == len(tasks), "all texts are known")
    label_studio.annotate(first, label)

    def learned() -> bool:
        found = learning.admin("GET", f"/projects/{project}")
        return not found["pending"] and found["served"] == found["live"] != "v0"

    wait_until(learned, "a version that knows the label answers")
    label_studio.retrieve_predictions(project, twins[:2])  # once: Label Studio does not ask a version twice
    found = [it for task in twins[:2] for it in label_studio.predictions(task) if it["model_version"] != "v0"]
    assert [(label_of(it), it["score"] > 0.96) for it in found] == [(label, True)] * 2
    learning.understudy("queue", str(project), "--plan")
    wait_until(lambda: queue.state().get("answers", 0) >= 1 and queue.is_written(), "a queue that knows the label")
    planned = {entry["task"]: entry["role"] for entry in queue.plan()["entries"]}
    assert planned and not {task for task in twins if planned.get(task) == "chosen"}
    label_studio.annotate(twins[3], other)

    def suspects() -> list[dict[str, Any]]:
        rows = learning.admin("GET", f"/projects/{project}/suspects?limit=100")["suspects"]
        return [row for row in rows if row.get("like")]

    told = wait_until(suspects, "labels of duplicates that disagree are suspects")
    assert {(row["task"], row["like"]) for row in told} == {(first, twins[3]), (twins[3], first)}
    wait_until(lambda: "duplicate" in learning.understudy("pool", str(project), expect=None), "the pool was looked at")
    learning.understudy("pool", str(project), "--kind", "duplicate", "--push")
    views = label_studio.call("GET", f"/api/dm/views/?project={project}")
    [tab] = [tab for tab in views if tab["data"]["title"] == TAB_TITLE]
    path = f"/api/tasks?view={tab['id']}&project={project}&page_size=100"
    listed = {int(task["id"]) for task in label_studio.call("GET", path)["tasks"]}
    assert set(twins[:3]) <= listed <= {first, *twins}
    assert TAB_TITLE in learning.understudy("disconnect", "--project", str(project), "--predictions")
    stores.close()


def test_the_data_manager_shows_the_queue(browser: webdriver.Chrome, label_studio: Studio, queue: Queue) -> None:
    columns = ["tasks:data.text", "tasks:id", SCORE, VERSIONS]
    tab = make_tab(label_studio, queue.project, columns, title="Queue", **BY_SCORE)
    log_in(browser, label_studio)

    def read() -> tuple[list[dict[str, str]], list[tuple[int, float]], str]:
        """The page reads its table once, so that it is opened anew each time."""
        browser.get(f"{label_studio.server.url}/projects/{queue.project}/data?tab={tab}")
        return rows_of(browser, SCORE, VERSIONS), queue.listed(label_studio), queue.state()["version"]

    rows, listed, version = queue.steady(read)
    ARTIFACTS.mkdir(exist_ok=True)
    browser.save_screenshot(str(ARTIFACTS / "queue.png"))
    assert len(rows) >= min(5, len(listed)) > 0, "a screen full of tasks"
    scores, listed_scores = [float(row[SCORE]) for row in rows], dict(listed)
    near = {"abs": ROUNDED + 1e-9}
    assert scores == pytest.approx([listed_scores[int(row["tasks:id"])] for row in rows], **near)
    assert scores == pytest.approx([score for _, score in listed[: len(rows)]], **near), "the least first"
    assert all(version in row[VERSIONS] for row in rows), "each is there for the queue"
    label_studio.call("DELETE", f"/api/dm/views/{tab}/")


def test_disconnect_leaves_nothing_behind(label_studio: Studio, learning: Backend, queue: Queue) -> None:
    told = learning.understudy("disconnect", "--project", str(queue.project), "--predictions")
    assert "removed" in told
    assert label_studio.call("GET", f"/api/ml?project={queue.project}") == []
    assert label_studio.call("GET", f"/api/webhooks/?project={queue.project}") == []
    project = label_studio.call("GET", f"/api/projects/{queue.project}/")
    assert project["sampling"] == "Sequential sampling" and not project["model_version"]
    assert label_studio.call("GET", f"/api/projects/{queue.project}/model-versions/") == {}
    assert project["total_annotations_number"] > 0, "labels stay"
