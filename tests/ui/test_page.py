"""The model page in a real browser: it moves when labels come, its buttons work, everybody can use it."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
from selenium.webdriver.common.by import By

from backend.ui.page import TABS
from tests.support.rig import ROOT, Project, Rig
from tests.ui.conftest import DESK, PHONE, Page

pytestmark = [pytest.mark.e2e]

PLACES = {
    "projects": "/ui",
    **{tab.slug: f"/ui/projects/7/{tab.slug}" for tab in TABS},
    "operations": "/ui/operations",
}


def test_a_wrong_token_is_refused_and_the_right_one_opens(page: Page, rig: Rig, project: Project) -> None:
    page.open("/ui/projects/7/versions")
    page.driver.find_element(By.ID, "token").send_keys("wrong")
    page.press("Log in")
    page.wait(lambda: "This is not the admin token" in page.text())
    page.driver.get_log("browser")  # the 401
    page.driver.find_element(By.ID, "token").send_keys(rig.admin_token)
    page.press("Log in")
    page.wait(lambda: page.driver.current_url.endswith("/ui/projects/7/versions"))
    assert page.complaints() == []


def test_the_command_logs_in_once_without_the_token(page: Page, rig: Rig) -> None:
    page.driver.delete_all_cookies()
    command = [sys.executable, "-m", "backend", "ui", "--no-open"]
    told = subprocess.run(command, cwd=ROOT, env=rig.environment, capture_output=True, text=True, check=True).stdout
    link = told.split()[-1]
    page.driver.get(link)
    page.wait(lambda: page.driver.current_url == f"{rig.url}/ui")
    page.driver.delete_all_cookies()
    page.driver.get(link)
    page.wait(lambda: "used already" in page.text())
    page.driver.get_log("browser")
    page.log_in()


def test_labels_move_the_page_without_a_reload(page: Page, project: Project) -> None:
    page.open(PLACES["overview"])
    before = page.driver.find_element(By.CSS_SELECTOR, ".facts strong").text
    assert "48 labels" in page.text()
    page.driver.execute_script("window.still = true")
    rows = itertools.islice(Project.stream(), 48, 108)
    for start in range(5):
        project.annotate_many(list(itertools.islice(rows, 12)))
        page.wait(lambda count=60 + 12 * start: f"{count} labels" in page.text())
    page.wait(lambda: page.driver.find_element(By.CSS_SELECTOR, ".facts strong").text != before)
    page.wait(lambda: page.driver.find_elements(By.CSS_SELECTOR, "svg.chart .line"))
    assert page.driver.execute_script("return window.still") is True
    assert page.complaints() == []


def test_a_retrain_shows_its_bar_and_can_be_cancelled(page: Page, project: Project) -> None:
    page.open(PLACES["overview"])
    page.press("Retrain", sure=True)
    page.wait(lambda: page.driver.find_elements(By.CSS_SELECTOR, "progress"))
    page.wait(lambda: page.driver.find_elements(By.XPATH, "//button[normalize-space()='Cancel the fine-tune']"))
    page.press("Cancel the fine-tune", sure=True)
    page.wait(lambda: "Cancelled" in page.text() or "cancelled" in page.text())
    page.wait(lambda: not page.driver.find_elements(By.CSS_SELECTOR, "progress"))


def test_a_roll_back_and_its_end(page: Page, project: Project) -> None:
    page.open(PLACES["versions"])
    button = page.driver.find_element(By.XPATH, "//button[starts-with(normalize-space(), 'Roll back to')]")
    version = button.text.split()[-1]
    page.press(button.text, sure=True)
    page.wait(lambda: f"{version} is live" in page.text() and "pinned" in page.text())
    page.press("Unpin: let learning publish again", sure=True)
    page.wait(lambda: "pinned: learning" not in page.text())


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PLACES)
def test_everybody_can_use_every_tab(page: Page, project: Project, name: str, dark: bool) -> None:
    for width in (DESK, PHONE):
        page.look(width, dark)
        page.open(PLACES[name])
        page.wait(lambda: page.driver.find_elements(By.CSS_SELECTOR, "main h1"))
        assert page.check_access() == [], (width, dark)
        assert page.overflow() <= 0, (width, dark)
        page.keep(f"{name}-{'dark' if dark else 'light'}-{width}")
    page.look(DESK, False)
    assert page.complaints() == []


def test_the_keyboard_alone_reaches_the_content_and_every_tab(page: Page, project: Project) -> None:
    page.open(PLACES["overview"])
    reached = page.driver.execute_script(
        "return [...document.querySelectorAll('a[href], button, input:not([type=hidden]), summary')]"
        ".every((element) => element.tabIndex >= 0)"
    )
    assert reached
    assert page.driver.find_element(By.CSS_SELECTOR, "a.skip").get_attribute("href").endswith("#main")


def test_the_page_says_when_it_lost_the_server_and_when_it_is_back(page: Page, rig: Rig, project: Project) -> None:
    page.open(PLACES["overview"])
    banner = page.driver.find_element(By.ID, "lost")
    assert not banner.is_displayed()
    rig.stop()
    try:
        page.wait(banner.is_displayed, 30)
    finally:
        rig.start()
    page.wait(lambda: not page.driver.find_element(By.ID, "lost").is_displayed(), 60)
