"""The real product and a headless Chromium that looks at its model page."""

from __future__ import annotations

import base64
import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.e2e.conftest import ARTIFACTS, FLAGS, PATIENCE
from tests.support.rig import Project, Rig
from tests.support.teacher_server import TeacherServer, teaching

PICTURES = ARTIFACTS / "ui"

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
"""Rules of axe: WCAG 2.2 AA, and what its authors think good."""

TEACHER_KEY = "sk-PLANTED-teacher-key-2342"

PHONE, DESK = 400, 1400
"""Widths in pixels."""


class Page:
    """The model page in a browser."""

    def __init__(self, driver: webdriver.Chrome, rig: Rig) -> None:
        self.driver, self.rig = driver, rig

    def open(self, path: str) -> None:
        self.driver.get(f"{self.rig.url}{path}")

    def log_in(self) -> None:
        """With the admin token."""
        self.open("/ui/login")
        self.driver.find_element(By.ID, "token").send_keys(self.rig.admin_token)
        self.press("Log in")
        self.wait(lambda: "Projects" in self.text())

    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    def press(self, name: str, sure: bool = False) -> None:
        """A button by its text; `sure` answers what it asks."""
        self.driver.find_element(By.XPATH, f"//button[normalize-space()='{name}']").click()
        if sure:
            WebDriverWait(self.driver, 10).until(lambda driver: driver.switch_to.alert).accept()

    def wait(self, reached: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        """What `reached` returns, once it is true. What a poll or another page has just exchanged is looked for again:
        the driver has several errors for that."""
        return WebDriverWait(self.driver, seconds, 0.2, [WebDriverException]).until(lambda driver: reached())

    def look(self, width: int, dark: bool) -> None:
        """With a screen of so many pixels, in one of the colour schemes."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        screen = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)

    def check_access(self) -> list[str]:
        """What axe finds: rule, and the first element that breaks it."""
        self.driver.execute_script(AXE.read_text(encoding="utf-8"))
        script = "const done = arguments[1]; axe.run({runOnly: arguments[0]}).then((found) => done(found.violations))"
        found = self.driver.execute_async_script(script, TAGS)
        return [f"{rule['id']}: {rule['help']}: {rule['nodes'][0]['html'][:200]}" for rule in found]

    def overflow(self) -> int:
        """Pixels by which the page is wider than the screen."""
        return int(self.driver.execute_script("return document.documentElement.scrollWidth - window.innerWidth"))

    def keep(self, name: str) -> None:
        """The whole page as a picture in artifacts."""
        height = self.driver.execute_script("return document.documentElement.scrollHeight")
        width = self.driver.execute_script("return window.innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        taken = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
        PICTURES.mkdir(parents=True, exist_ok=True)
        (PICTURES / f"{name}.png").write_bytes(base64.b64decode(taken["data"]))

    def complaints(self) -> list[str]:
        """What the browser itself logged as wrong: refused by the policy, not found, not a script."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.fixture(scope="module")
def teacher() -> Iterator[TeacherServer]:
    """Knows every sample's label; busy at first."""
    truth = dict(Project.sample())
    with teaching(lambda text: {"label": {"labels": [truth[text]]}}, (429, {"Retry-After": "3000"})) as server:
        yield server


@pytest.fixture(scope="module")
def rig(teacher: TeacherServer) -> Iterator[Rig]:
    asked = {"TEACHER_URL": teacher.url, "TEACHER_MODEL": "tiny", "TEACHER_PRICE": "2", "TEACHER_KEY": TEACHER_KEY}
    with Rig(timed=True, FINETUNE_STEPS="40", **asked) as running:
        yield running


@pytest.fixture(scope="module")
def project(rig: Rig) -> Project:
    """One that has learned 48 labels."""
    found = Project.of_sample(rig, 7)
    found.setup()
    rows = Project.stream()
    for _ in range(4):
        found.annotate_many(list(itertools.islice(rows, 12)))
        found.settle(quiet=0.5)
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield opened
    finally:
        opened.quit()


@pytest.fixture(scope="module")
def page(browser: webdriver.Chrome, rig: Rig) -> Page:
    return Page(browser, rig)
