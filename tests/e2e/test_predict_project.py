"""A whole project is predicted straight into the real Label Studio, and doubtful labels are listed in a tab of its Data
Manager; both leave the label stream alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from backend.jobs.sync.relabel_tab import TAB_TITLE
from backend.rules.relabel import RELABEL_VERSIONS, VERSION_PREFIX
from model.acquisition.batch import is_blind
from tests.e2e.conftest import Backend, Studio, choices_result, label_of, wait_until
from tests.ui.conftest import Page

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

WRONG = (3, 17, 40, 66, 90, 101)
LABELLED = 120


@pytest.fixture(scope="module")
def project(label_studio: Studio, backend: Backend, config: str, rows: list[tuple[str, str]]) -> int:
    """120 labelled tasks, six of them with a wrong label, and 30 unlabelled ones."""
    names = sorted({label for _, label in rows})
    number = label_studio.create_project("predicted as a whole", config)
    backend.configs[number] = config
    tasks: list[dict[str, Any]] = []
    for place, (text, label) in enumerate(rows[: LABELLED + 30]):
        given = names[(names.index(label) + 1) % len(names)] if place in WRONG else label
        # Label Studio takes imported annotations for ground truths, which are never doubted.
        annotations = [{"result": choices_result(given), "ground_truth": False}] if place < LABELLED else []
        tasks.append({"data": {"text": text}, "annotations": annotations})
    label_studio.import_tasks(number, tasks)
    backend.understudy("connect", "--project", str(number))
    backend.post("/setup", {"project": f"{number}.1", "schema": config})
    backend.understudy("resync", str(number))
    wait_until(lambda: backend.version(number) != "v0" and learned(backend, number), "the labels are learned")
    backend.settled(number)
    return number


def learned(backend: Backend, project: int) -> bool:
    state = backend.admin("GET", f"/projects/{project}")
    return bool(state["examples"] == LABELLED and backend.admin("GET", f"/projects/{project}/suspects")["searched"])


def of_live_versions(studio: Studio, project: int) -> dict[int, Counter[str]]:
    """Task -> versions of its predictions, without the queue's."""
    return {
        int(task["id"]): Counter(
            str(it["model_version"]) for it in task["predictions"] if str(it["model_version"]).startswith("v")
        )
        for task in studio.tasks(project)
    }


def test_every_unlabelled_task_gets_one_prediction_and_a_second_run_adds_none(
    label_studio: Studio, backend: Backend, project: int
) -> None:
    free = {int(task["id"]) for task in label_studio.tasks(project) if not task["annotations"]}
    said = backend.understudy("predict", str(project))
    assert f"done, {len(free)} of {len(free)} tasks" in said
    first, live = of_live_versions(label_studio, project), backend.version(project)
    predicted = {task for task in free if first[task]}
    assert all(set(first[task]) <= {live} and first[task][live] == 1 for task in predicted)
    assert all(is_blind(project, task, 0.05) for task in free - predicted) and len(predicted) > len(free) / 2
    task = min(predicted)
    data = next(it["data"] for it in label_studio.tasks(project) if it["id"] == task)
    body = {"tasks": [{"id": task, "data": data}], "project": f"{project}.1", "label_config": backend.configs[project]}
    [answer] = backend.post("/predict", body)["results"]
    stored = next(it for it in label_studio.predictions(task) if it["model_version"] == live)
    assert label_of(stored) == label_of(answer) and stored["score"] == pytest.approx(answer["score"], abs=1e-6)
    backend.understudy("predict", str(project))
    assert of_live_versions(label_studio, project) == first, "nothing twice"


def test_doubtful_labels_are_listed_in_a_tab_and_taken_out_again(
    label_studio: Studio, backend: Backend, project: int
) -> None:
    suspects = backend.admin("GET", f"/projects/{project}/suspects?limit=1000")["suspects"]
    flagged = {row["task"] for row in suspects if row["flag"]}
    tasks = [int(task["id"]) for task in label_studio.tasks(project)]
    assert flagged & {tasks[place] for place in WRONG}, "at least one of the wrong labels is found"
    before = label_studio.call("GET", f"/api/projects/{project}/")["model_version"]
    assert f"{len(flagged)} tasks in the tab" in backend.understudy("suspects", str(project), "--push")
    [tab] = [tab for tab in views(label_studio, project) if tab["data"]["title"] == TAB_TITLE]
    listed = label_studio.call("GET", f"/api/tasks?view={tab['id']}&project={project}&page_size=100&fields=all")[
        "tasks"
    ]
    assert {task["id"] for task in listed} == flagged
    for task in listed:
        [suggestion] = [it for it in task["predictions"] if it["model_version"] in RELABEL_VERSIONS]
        row = next(row for row in suspects if row["task"] == task["id"])
        assert label_of(suggestion) == row["suggested"] and suggestion["score"] == pytest.approx(row["p_given"])
    handed = label_studio.call("GET", f"/api/projects/{project}/next")
    assert handed["id"] not in flagged
    assert not any(str(it["model_version"]).startswith(VERSION_PREFIX) for it in handed["predictions"])
    after = label_studio.call("GET", f"/api/projects/{project}/")["model_version"]
    assert not str(after).startswith(VERSION_PREFIX) and bool(after) == bool(before)
    assert "already in the tab" in backend.understudy("suspects", str(project), "--push")
    backend.understudy("suspects", str(project), "--remove")
    left = label_studio.call("GET", f"/api/projects/{project}/model-versions/")
    assert not any(version.startswith(VERSION_PREFIX) for version in left)
    assert [tab["data"]["title"] for tab in views(label_studio, project)] == ["Default"]


def test_the_button_of_the_model_page_lists_them_as_well(
    browser: webdriver.Chrome, label_studio: Studio, backend: Backend, project: int
) -> None:
    page = Page(browser, backend)
    page.log_in()
    page.open(f"/ui/projects/{project}/errors")
    suspects = backend.admin("GET", f"/projects/{project}/suspects?limit=1000")["suspects"]
    flagged = {row["task"] for row in suspects if row["flag"]}
    first = page.driver.find_element(By.CSS_SELECTOR, "#suspects tbody th a")
    address = f"{label_studio.server.url}/projects/{project}/data?task={suspects[0]['task']}"
    assert first.get_attribute("href") == address
    page.press("List them in Label Studio", sure=True)
    page.wait(lambda: f"{len(flagged)} tasks in the tab" in page.text())
    assert [tab["data"]["title"] for tab in views(label_studio, project)].count(TAB_TITLE) == 1
    page.press("List them in Label Studio", sure=True)
    page.wait(lambda: f"{len(flagged)} tasks already in the tab" in page.text())
    assert page.complaints() == []
    page.keep("errors-with-label-studio")
    assert backend.admin("GET", "/audit?limit=5")["actions"][0]["action"] == "suspects"


def views(studio: Studio, project: int) -> list[Any]:
    return list(studio.call("GET", f"/api/dm/views/?project={project}"))
