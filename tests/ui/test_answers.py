"""Tabs about single answers in a real browser: from a cell of the matrix to its tasks."""

from __future__ import annotations

import itertools

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support.rig import Project
from tests.ui.conftest import Page

pytestmark = [pytest.mark.e2e]


def test_a_confusion_cell_leads_to_its_tasks(page: Page, project: Project) -> None:
    page.log_in()
    page.open("/ui/projects/7/classes")
    cells = page.driver.find_elements(By.CSS_SELECTOR, "table.matrix td:not(.hit) a")
    cell = max(cells, key=lambda found: int(found.text))
    count, name = int(cell.text), cell.get_attribute("aria-label")
    given, said = name.partition(" given ")[2].split(" and answered ")
    cell.click()
    page.wait(lambda: page.driver.find_elements(By.ID, "tasks"))
    assert f"label: given {given}, answered {said}" in page.text()
    rows = page.driver.find_elements(By.CSS_SELECTOR, "#tasks tbody tr")
    assert len(rows) == count
    texts = {text for text, label in Project.sample() if label == given}
    shown = [row.find_element(By.CSS_SELECTOR, "td[data-name=Text]").text for row in rows]
    assert all(any(text.startswith(own.rstrip("…")) for text in texts) for own in shown)
    project.annotate_many(list(itertools.islice(Project.stream(), 500, 503)))
    page.wait(lambda: "51 labels" in page.text())
    assert page.driver.find_elements(By.ID, "tasks"), "news are of the same cell"
    page.driver.find_element(By.LINK_TEXT, "Close").click()
    page.wait(lambda: not page.driver.find_elements(By.ID, "tasks"))
    assert page.complaints() == []


def test_the_threshold_moves_by_keyboard_and_stays_where_it_is_when_there_is_news(page: Page, project: Project) -> None:
    rows = list(itertools.islice(Project.stream(), 300))
    project.predict([text for text, _ in rows[100:]])
    project.annotate_many(rows[48:72])
    project.settle(quiet=0.5)
    page.log_in()
    page.open("/ui/projects/7/confidence")
    page.wait(lambda: page.driver.find_elements(By.CSS_SELECTOR, ".threshold input[type=range]"))
    slider = page.driver.find_element(By.CSS_SELECTOR, ".threshold input[type=range]")
    page.wait(slider.is_displayed)
    slider.send_keys(Keys.END)
    assert slider.get_attribute("aria-valuetext") == "99.5\u202f%"
    slider.send_keys(Keys.HOME)
    assert slider.get_attribute("aria-valuetext") == "80.0\u202f%"
    shown = [one for one in page.driver.find_elements(By.CSS_SELECTOR, "[data-step]") if one.is_displayed()]
    assert [one.get_attribute("data-step") for one in shown] == ["0"]
    page.driver.find_element(By.XPATH, "//summary[.='As a table']").click()
    project.annotate_many(rows[72:84])
    page.wait(lambda: "87 labels" in page.text())
    assert page.driver.find_element(By.CSS_SELECTOR, ".threshold input").get_attribute("value") == "0"
    shown = [one for one in page.driver.find_elements(By.CSS_SELECTOR, "[data-step]") if one.is_displayed()]
    assert [one.get_attribute("data-step") for one in shown] == ["0"]
    assert page.driver.find_element(By.CSS_SELECTOR, "details").get_attribute("open")
    assert page.complaints() == []


def test_the_words_that_decided_come_on_demand_and_stay_when_there_is_news(page: Page, project: Project) -> None:
    page.log_in()
    page.open("/ui/projects/7/errors")
    page.wait(lambda: page.driver.find_elements(By.LINK_TEXT, "Why?"))
    row = page.driver.find_element(By.CSS_SELECTOR, "#corrected tbody tr")
    task = row.find_element(By.CSS_SELECTOR, "th").text.split()[-1]
    page.driver.find_element(By.CSS_SELECTOR, f"a[aria-label='Why task {task} is answered so']").click()
    page.wait(lambda: "now answers" in page.driver.find_element(By.CSS_SELECTOR, f"#why-row-0-{task}").text)
    assert page.driver.current_url.endswith("/errors"), "it came into the row"
    why = page.driver.find_element(By.CSS_SELECTOR, f"#why-row-0-{task}").text
    assert "People labelled this very task, so it is answered with theirs" in why and "By itself v" in why
    assert page.check_access() == []
    before = len(page.driver.find_elements(By.CSS_SELECTOR, "mark"))
    rows = list(itertools.islice(Project.stream(), 400, 412))
    labels = page.driver.find_element(By.CSS_SELECTOR, ".facts span:nth-of-type(2)").text
    project.annotate_many(rows)
    page.wait(lambda: page.driver.find_element(By.CSS_SELECTOR, ".facts span:nth-of-type(2)").text != labels)
    project.settle(quiet=0.5)
    assert "now answers" in page.driver.find_element(By.CSS_SELECTOR, f"#why-row-0-{task}").text
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "mark")) == before
    page.driver.find_element(By.LINK_TEXT, "surest first").click()
    page.wait(lambda: page.driver.current_url.endswith("order=surest"))
    scores = page.driver.find_elements(By.CSS_SELECTOR, "#corrected td[data-name=Score]")
    told = [float(one.text) for one in scores]
    assert told == sorted(told, reverse=True) and len(told) > 1
    assert page.complaints() == []
