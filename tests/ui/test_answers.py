"""Tabs about single answers in a real browser: from a cell of the matrix to its tasks."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.by import By

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
    page.driver.find_element(By.LINK_TEXT, "Close").click()
    page.wait(lambda: not page.driver.find_elements(By.ID, "tasks"))
    assert page.complaints() == []
