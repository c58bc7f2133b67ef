"""An annotator opens a task in Label Studio's own page and sees the choice pre-selected (headless Chromium)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from bench.rig import ROOT
from tests.e2e.conftest import Backend, Studio, label_of, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ARTIFACTS = ROOT / "artifacts"
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,860",
]


CHECKED = "[class*=choices] input:checked"
"""Label Studio's own markup of a chosen choice."""


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    chrome = webdriver.Chrome(options=options, service=Service(driver, log_output=os.devnull))
    yield chrome
    chrome.quit()


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


def texts_of(browser: webdriver.Chrome, selector: str, of: str = ".") -> list[str]:
    """The texts of what `selector` finds, or of the elements at `of` from there, once all of them can be read: the page
    draws its elements anew while it loads."""

    def read(page: webdriver.Chrome) -> list[str]:
        found = page.find_elements(By.CSS_SELECTOR, selector)
        return [element.find_element(By.XPATH, of).text for element in found]

    return WebDriverWait(browser, 60, ignored_exceptions=[StaleElementReferenceException]).until(read)


def log_in(browser: webdriver.Chrome, studio: Studio) -> None:
    browser.get(f"{studio.server.url}/user/login/")
    browser.find_element(By.NAME, "email").send_keys(studio.server.username)
    browser.find_element(By.NAME, "password").send_keys(studio.server.password)
    browser.find_element(By.CSS_SELECTOR, "form button[type=submit], form [type=submit]").click()
    WebDriverWait(browser, 30).until(lambda page: "/login" not in page.current_url)
