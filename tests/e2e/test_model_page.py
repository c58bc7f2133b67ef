"""The model page beside the real Label Studio: it moves while people label there, and leads to their tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.e2e.conftest import Backend, Studio, log_in, wait_until
from tests.ui.conftest import Page

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

TITLE = "Support <mail> & more"
TASKS, LABELLED, AT_ONCE = 120, 60, 12


@pytest.fixture(scope="module")
def product(label_studio: Studio) -> Iterator[Backend]:
    """One whose fine-tunes learn next to nothing, so that the gate refuses them."""
    rig = Backend(
        LABEL_STUDIO_URL=label_studio.server.url,
        LABEL_STUDIO_API_KEY=label_studio.server.access_token,
        FINETUNE_STEPS="1",
    )
    rig.configs = {}
    with rig:
        yield rig


@pytest.fixture(scope="module")
def project(label_studio: Studio, product: Backend, config: str, rows: list[tuple[str, str]]) -> int:
    found = label_studio.create_project(TITLE, config)
    product.configs[found] = config
    label_studio.import_texts(found, [text for text, _ in rows[:TASKS]])
    product.understudy("connect", "--project", str(found))
    return found


@pytest.fixture
def page(browser: webdriver.Chrome, product: Backend) -> Page:
    found = Page(browser, product)
    found.log_in()
    return found


def test_sixty_labels_move_the_page_and_lead_back_to_label_studio(
    page: Page, label_studio: Studio, product: Backend, project: int, rows: list[tuple[str, str]]
) -> None:
    truth = dict(rows)
    page.wait(lambda: page.driver.find_elements(By.LINK_TEXT, TITLE))
    page.driver.find_element(By.LINK_TEXT, TITLE).click()
    page.wait(lambda: page.driver.current_url.endswith(f"/ui/projects/{project}/overview"))
    assert page.driver.find_element(By.TAG_NAME, "h1").text == TITLE
    page.driver.execute_script("window.still = true")

    versions, points = set[str](), list[int]()
    tasks = label_studio.tasks(project)
    for start in range(0, LABELLED, AT_ONCE):
        for task in tasks[start : start + AT_ONCE]:
            label_studio.annotate(int(task["id"]), truth[task["data"]["text"]])
        page.wait(lambda count=start + AT_ONCE: f"{count} labels" in page.text())
        page.wait(lambda: live(page) not in versions)
        versions.add(live(page))
        product.settled(project, quiet=0.5)
        points.append(len(page.driver.find_elements(By.CSS_SELECTOR, "svg.chart circle.dot")))
    page.wait(lambda: page.driver.find_elements(By.CSS_SELECTOR, "svg.chart .line"))
    page.wait(lambda: live(page) == product.version(project))
    assert len(versions) == LABELLED // AT_ONCE and points[0] == 0, "no curve of twelve answers"
    assert "60 labels, 60 today" in page.text()
    assert page.driver.execute_script("return window.still") is True
    page.keep("with-label-studio")
    assert page.complaints() == []


def live(page: Page) -> str:
    return str(page.driver.find_element(By.CSS_SELECTOR, ".facts strong").text)


def test_a_confusion_leads_to_its_task_in_label_studio(page: Page, label_studio: Studio, project: int) -> None:
    log_in(page.driver, label_studio)
    page.open(f"/ui/projects/{project}/classes")
    page.wait(lambda: page.driver.find_elements(By.CSS_SELECTOR, "table.matrix td a"))
    cells = page.driver.find_elements(By.CSS_SELECTOR, "table.matrix td a")
    count = int(cells[0].text)
    cells[0].click()
    page.wait(lambda: page.driver.find_elements(By.CSS_SELECTOR, "#tasks table tbody tr"))
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "#tasks table tbody tr")) == count
    link = page.driver.find_element(By.CSS_SELECTOR, "#tasks table a")
    address = str(link.get_attribute("href"))
    task = int(address.rpartition("task=")[2])
    assert address == f"{label_studio.server.url}/projects/{project}/data?task={task}"
    text = next(one["data"]["text"] for one in label_studio.tasks(project) if one["id"] == task)
    page.driver.get(address)
    page.wait(lambda: text[:40] in page.text())
    page.keep("task-in-label-studio")


def test_people_are_called_what_label_studio_calls_them(page: Page, label_studio: Studio, project: int) -> None:
    name = label_studio.server.account.username.partition("@")[0]
    page.open(f"/ui/projects/{project}/people")
    page.wait(lambda: page.driver.find_element(By.CSS_SELECTOR, "table.stack th[scope=row]").text.startswith(name))
    assert "@" not in page.text()
    page.keep("people-with-names")


@pytest.mark.long
def test_why_a_challenger_was_refused_can_be_read(page: Page, product: Backend, project: int) -> None:
    page.open(f"/ui/projects/{project}/overview")
    page.press("Retrain", sure=True)
    record = wait_until(lambda: ended(product, project), "the fine-tune has ended")
    assert record["status"] == "rejected", record
    page.wait(lambda: "refused by the gate" in page.text().lower() and record["message"] in page.text())
    page.open(f"/ui/projects/{project}/versions")
    assert record["message"] in page.text()
    assert "not published" in page.text(), "the challenger is kept and says so"
    page.keep("refused-challenger")


def ended(product: Backend, project: int) -> dict[str, Any] | None:
    told = product.admin("GET", f"/projects/{project}")
    return next(iter(told["recent_jobs"]), None) if told["job"] is None else None
