"""How people come to their tasks in Label Studio's own page (headless Chromium, a fresh profile for each test): by the
button, by a link, by a tab with a filter of their own; and what the page of a blind task says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from backend.jobs.task_queue.stream_order import BY_ID, QUEUE_ORDER
from backend.labelstudio.label_config.assist_controls import BLIND_LINE
from backend.settings.settings import Settings
from backend.store.stores import Stores
from model.acquisition.batch import is_blind
from tests.e2e.conftest import ARTIFACTS, PASSWORD, PATIENCE, USER, Backend, Studio, log_in, wait_until
from tests.e2e.queue import Queue
from tests.e2e.test_active_learning import members
from tests.e2e.test_evidence_page import SHOWN_TEXTS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

TASKS, SIZE = 300, 24
BY_LINK, BY_BUTTON = 12, 6
"""Tasks labelled in the page."""

SUMMARY = '<TextArea name="understudy" toName="text" editable="false" maxSubmissions="1"/>'

OPTIONS = "[class*=choices] input"
CHOSEN = f"{OPTIONS}:checked"
TASK = "return window.Htx && window.Htx.task ? Number(window.Htx.task.id) : null"
"""Label Studio's own editor, as its page publishes it."""


class Page:
    """The label stream in a browser that is logged in."""

    def __init__(self, browser: webdriver.Chrome, studio: Studio, project: int) -> None:
        log_in(browser, studio)
        self.browser, self.data = browser, f"{studio.server.url}/projects/{project}/data"

    def open(self, query: str) -> int:
        """The task that is shown at `…/data?<query>`."""
        self.browser.get(f"{self.data}?{query}")
        return self.task()

    def press(self, text: str) -> None:
        def find(browser: webdriver.Chrome) -> bool:
            for button in browser.find_elements(By.CSS_SELECTOR, "button"):
                if button.text.strip() == text and button.is_enabled():
                    button.click()
                    return True
            return False

        self.wait(find, f"a button {text}")

    def task(self, other_than: int = 0) -> int:
        """The task on the page, once its choices can be made."""

        def shown(browser: webdriver.Chrome) -> int:
            task = browser.execute_script(TASK)
            ready = task and task != other_than and browser.find_elements(By.CSS_SELECTOR, OPTIONS)
            return int(task) if ready else 0

        return int(self.wait(shown, "a task"))

    def submit(self) -> int:
        """Label the task as it is shown, or with the first choice; the next one."""
        task = self.task()

        def choose(browser: webdriver.Chrome) -> bool:
            if not browser.find_elements(By.CSS_SELECTOR, CHOSEN):
                browser.find_elements(By.CSS_SELECTOR, OPTIONS)[0].click()
            return bool(browser.find_elements(By.CSS_SELECTOR, CHOSEN))

        self.wait(choose, "a choice")
        self.press("Submit")
        return self.task(other_than=task)

    def wait(self, condition: Any, what: str) -> Any:
        """The page draws its elements anew while it loads."""
        return WebDriverWait(self.browser, PATIENCE, ignored_exceptions=[StaleElementReferenceException]).until(
            condition, what
        )

    def asked(self) -> list[dict[str, Any]]:
        """What the page has sent since the last call to be given a next task."""
        bodies = []
        for entry in self.browser.get_log("performance"):  # type: ignore[no-untyped-call]
            message = json.loads(entry["message"])["message"]
            request = message.get("params", {}).get("request", {})
            if message["method"] == "Network.requestWillBeSent" and "id=next_task" in request.get("url", ""):
                bodies.append(json.loads(request["postData"]))
        return bodies

    def mode(self) -> Any:
        """Which button was pressed in this profile, as the page remembers it."""
        return self.browser.execute_script("return localStorage.getItem('dm:labelstream:mode')")

    def picture(self, name: str) -> None:
        ARTIFACTS.mkdir(exist_ok=True)
        self.browser.save_screenshot(str(ARTIFACTS / name))


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
    )
    rig.configs = {}
    with rig:
        yield rig


@pytest.fixture(scope="module")
def stores(learning: Backend) -> Iterator[Stores]:
    opened = Stores(Settings(data_dir=learning.data_dir, redis_url=""))
    yield opened
    opened.close()


def connect(studio: Studio, learning: Backend, stores: Stores, config: str, texts: list[str]) -> tuple[Queue, str]:
    """A new project's first queue, and what `connect` printed."""
    project = studio.create_project("label stream", config)
    studio.import_texts(project, texts)
    told = learning.understudy("connect", "--project", str(project))
    found = Queue(stores, project)
    wait_until(lambda: found.state().get("version"), "a first queue")
    return found, told


@pytest.fixture(scope="module")
def queue(
    label_studio: Studio, learning: Backend, stores: Stores, config: str, rows: list[tuple[str, str]]
) -> Iterator[Queue]:
    found, told = connect(label_studio, learning, stores, config, [text for text, _ in rows[:TASKS]])
    assert f"{label_studio.server.url}/projects/{found.project}/data?labeling=1" in told
    yield found


def tabs(studio: Studio, project: int) -> list[dict[str, Any]]:
    return list(studio.call("GET", f"/api/dm/views/?project={project}"))


def test_a_link_in_a_fresh_profile_follows_the_queue(
    browser: webdriver.Chrome, label_studio: Studio, learning: Backend, queue: Queue
) -> None:
    page = Page(browser, label_studio, queue.project)

    def open_thrice() -> tuple[Any, list[dict[str, Any]], list[int]]:
        page.asked()
        shown, asked = [page.open("labeling=1")], page.asked()
        browser.refresh()
        shown.append(page.task())
        window = browser.current_window_handle
        browser.switch_to.new_window("tab")
        shown.append(page.open("labeling=1"))
        browser.close()
        browser.switch_to.window(window)
        return queue.plan(), asked, shown

    first, (asked,), seen = queue.steady(open_thrice)
    assert page.mode() is None, "nobody has pressed a button"
    assert asked["ordering"] == QUEUE_ORDER and asked["selectedItems"] == {"all": False, "included": []}
    assert len(set(seen)) == 1, "a task that was not labelled stays"
    del seen[1:]
    chosen = []
    for _ in range(BY_LINK):
        chosen.append(seen[-1] in queue.tasks())
        seen.append(page.submit())
    page.picture("link.png")
    by_score = [entry["task"] for entry in sorted(first["entries"], key=lambda entry: entry["score"])]
    assert seen[:3] == by_score[:3], "before a plan can have followed the order is that of the queue"
    assert sum(chosen) >= 0.9 * BY_LINK, f"{sum(chosen)} of {BY_LINK} tasks were of the queue: {seen}"
    assert all(body["ordering"] == QUEUE_ORDER for body in page.asked())
    assert len(set(seen)) == len(seen) and seen != sorted(seen)
    wait_until(lambda: len(learning.examples(queue.project)) == BY_LINK, "all labels are stored")
    expected = f"of the last {BY_LINK} labels were tasks that the queue handed out"
    wait_until(lambda: expected in learning.understudy("status", str(queue.project)), "the share is told")
    assert "Label All Tasks" not in learning.understudy("queue", str(queue.project)), "there is nothing to hint at"


def test_the_button_asks_the_queue(browser: webdriver.Chrome, label_studio: Studio, queue: Queue) -> None:
    page = Page(browser, label_studio, queue.project)
    browser.get(page.data)
    page.press("Label All Tasks")
    seen = [page.task()]
    page.picture("label-all.png")
    assert page.mode() == "all" and set(page.asked()[-1]) == {"project"}, "neither order nor filter"
    chosen = []
    for _ in range(BY_BUTTON):
        chosen.append(seen[-1] in queue.tasks())
        seen.append(page.submit())
    assert sum(chosen) >= BY_BUTTON - 1, seen


def test_a_filter_of_ones_own_is_respected(
    browser: webdriver.Chrome, label_studio: Studio, learning: Backend, queue: Queue
) -> None:
    texts = {int(task["id"]): str(task["data"]["text"]) for task in label_studio.tasks(queue.project)}
    labelled = {example["task"] for example in learning.examples(queue.project).values()}
    wanted = {task for task, text in texts.items() if "refund" in text.lower()} - labelled
    assert 3 < len(wanted) < 150
    item = {"filter": "filter:tasks:data.text", "operator": "contains", "type": "String", "value": "refund"}
    filters = {"conjunction": "and", "items": [item]}
    mine = {"title": "refunds", "type": "list", "target": "tasks", "filters": filters, "ordering": ["-tasks:id"]}
    tab = label_studio.call("POST", "/api/dm/views/", {"project": queue.project, "data": mine})
    plain = label_studio.call("POST", "/api/dm/views/", {"project": queue.project, "data": {"title": "New Tab"}})
    before = queue.state()["version"]
    learning.understudy("queue", str(queue.project), "--plan")
    wait_until(lambda: queue.state()["version"] != before, "the next queue")

    def shown() -> dict[int, dict[str, Any]]:
        return {row["id"]: row["data"] for row in tabs(label_studio, queue.project)}

    # A queue that was being written when the tab was made knows nothing of it: the next one does.
    wait_until(lambda: shown()[plain["id"]].get("ordering") == QUEUE_ORDER, "a tab made since follows the queue, too")
    assert shown()[tab["id"]]["ordering"] == ["-tasks:id"] and len(shown()[tab["id"]]["filters"]["items"]) == 1

    page = Page(browser, label_studio, queue.project)
    assert page.open(f"tab={plain['id']}&labeling=1") in queue.tasks()
    assert page.open(f"tab={tab['id']}&labeling=1") == max(wanted)
    page.picture("filter.png")
    assert page.asked()[-1]["filters"]["items"][0]["value"] == "refund"
    assert page.submit() == sorted(wanted)[-2]
    told = learning.understudy("doctor", "--project", str(queue.project), expect=None)
    assert "labeling=1" in told, "the first tab is still the one that follows the queue"


def test_a_link_looks_at_no_locks_and_the_button_does(label_studio: Studio, queue: Queue) -> None:
    """Why people who label at once are told to press the button."""

    def ask(token: str, body: dict[str, Any]) -> int:
        url = f"{label_studio.server.url}/api/dm/actions?id=next_task&project={queue.project}"
        reply = requests.post(url, json=body, headers={"Authorization": f"Token {token}"}, timeout=60)
        assert reply.status_code == 200, reply.text[:300]
        return int(reply.json()["id"])

    people = members(label_studio, 2)
    by_link = {"ordering": QUEUE_ORDER, "selectedItems": {"all": False, "included": []}}
    assert len({ask(token, by_link) for token in people}) == 1
    others = members(label_studio, 2)
    handed = {ask(token, {"project": str(queue.project)}) for token in others}
    assert len(handed) == 2 and handed <= queue.tasks()


def test_a_low_share_is_told(
    label_studio: Studio, learning: Backend, queue: Queue, rows: list[tuple[str, str]]
) -> None:
    labels = dict(rows)
    done = {example["task"] for example in learning.examples(queue.project).values()}
    others = [task for task in label_studio.tasks(queue.project) if int(task["id"]) not in done]
    for _ in range(16):
        held = queue.tasks()
        task = next(task for task in others if int(task["id"]) not in held)
        others.remove(task)
        label_studio.annotate(task["id"], labels[task["data"]["text"]])
    hint = "let them press Label All Tasks"
    wait_until(lambda: hint in learning.understudy("status", str(queue.project)), "the hint")
    told = learning.understudy("doctor", "--project", str(queue.project), expect=None)
    assert hint in told


def test_disconnect_gives_the_tabs_back(label_studio: Studio, learning: Backend, queue: Queue) -> None:
    told = learning.understudy("disconnect", "--project", str(queue.project))
    left = {row["data"]["title"]: row["data"] for row in tabs(label_studio, queue.project)}
    assert "Default" not in left or left["Default"]["ordering"] == BY_ID, "removed, or touched by the page"
    assert left["New Tab"]["ordering"] == BY_ID and left["refunds"]["ordering"] == ["-tasks:id"]
    assert "Data Manager" in told
    assert "Data Manager" not in learning.understudy("disconnect", "--project", str(queue.project))


def test_a_blind_task_says_that_nothing_is_broken(
    browser: webdriver.Chrome,
    label_studio: Studio,
    learning: Backend,
    stores: Stores,
    config: str,
    rows: list[tuple[str, str]],
) -> None:
    told = config.replace("<Choices", f"{SUMMARY}<Choices", 1)
    queue, _ = connect(label_studio, learning, stores, told, [text for text, _ in rows[:TASKS]])
    page = Page(browser, label_studio, queue.project)
    task = page.open("labeling=1")
    assert is_blind(queue.project, task, 0.05), "blind tasks come first by a link as well"
    page.wait(lambda browser: BLIND_LINE in str(browser.execute_script(SHOWN_TEXTS)), "the line")
    assert not browser.find_elements(By.CSS_SELECTOR, CHOSEN), "nothing is suggested"
    page.picture("blind.png")
    assert {item["result"][0]["from_name"] for item in label_studio.predictions(task)} == {"understudy"}
    after = page.submit()
    while is_blind(queue.project, after, 0.05):
        after = page.submit()
    page.wait(lambda browser: browser.find_elements(By.CSS_SELECTOR, CHOSEN), "the others have their suggestion")
    assert BLIND_LINE not in str(browser.execute_script(SHOWN_TEXTS))
    [annotation] = label_studio.call("GET", f"/api/tasks/{task}/annotations/")
    assert BLIND_LINE in json.dumps(annotation["result"]), "the page submits what it shows"
    example = wait_until(lambda: learning.examples(queue.project).get(annotation["id"]), "the label is stored")
    assert set(example["labels"]) == {"label"}, "the line is not learned"
