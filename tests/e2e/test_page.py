"""An annotator opens a task in Label Studio's own page and sees the choice preselected (headless Chromium)."""

from __future__ import annotations

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.e2e.conftest import ARTIFACTS, PATIENCE, Backend, Studio, label_of, log_in, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

CHECKED = "[class*=choices] input:checked"
"""Label Studio's own markup of a chosen choice."""


def test_the_annotator_sees_the_preselected_choice(
    browser: webdriver.Chrome, label_studio: Studio, backend: Backend, config: str, rows: list[tuple[str, str]]
) -> None:
    project = label_studio.create_project("seen by an annotator", config)
    label_studio.import_texts(project, [text for text, _ in rows[300:304]])
    backend.understudy("connect", "--project", str(project))
    log_in(browser, label_studio)
    task = int(label_studio.tasks(project)[0]["id"])

    browser.get(f"{label_studio.server.url}/projects/{project}/data?task={task}")
    [prediction] = wait_until(lambda: label_studio.predictions(task), "opening the task asks for a prediction")
    expected = label_of(prediction)
    shown = texts_of(browser, CHECKED, "./ancestor::label[1]")

    ARTIFACTS.mkdir(exist_ok=True)
    browser.save_screenshot(str(ARTIFACTS / "pre-label.png"))
    assert any(expected in text for text in shown), f"predicted {expected!r}, selected {shown}"


def texts_of(browser: webdriver.Chrome, selector: str, of: str = ".", count: int = 1) -> list[str]:
    """The texts of what `selector` finds, or of the elements at `of` from there, once `count` of them at least can be
    read: the page draws its elements one after the other, and anew while it loads."""

    def read(page: webdriver.Chrome) -> list[str]:
        found = page.find_elements(By.CSS_SELECTOR, selector)
        texts = [element.find_element(By.XPATH, of).text for element in found]
        return texts if len(texts) >= count and all(texts) else []

    return WebDriverWait(browser, PATIENCE, ignored_exceptions=[StaleElementReferenceException]).until(read)
