"""People, queue, versions and operations in a real browser: what a button came to is shown without a reload."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.by import By

from tests.support.rig import Project, Rig
from tests.ui.conftest import Page

pytestmark = [pytest.mark.e2e]


@pytest.fixture(autouse=True)
def logged_in(page: Page, rig: Rig, project: Project) -> None:
    page.open("/ui")
    if page.driver.find_elements(By.ID, "token"):
        page.log_in()


def test_the_doctor_looks_when_asked_and_says_what_it_found(page: Page) -> None:
    page.open("/ui/operations")
    page.driver.execute_script("window.still = true")
    page.press("Check now")
    page.wait(lambda: "the doctor looks" in page.text())
    page.wait(lambda: "in order" in page.text() and "LABEL_STUDIO_URL is not set" in page.text())
    assert page.driver.execute_script("return window.still") is True
    page.open("/ui")
    assert "LABEL_STUDIO_URL is not set" in page.text(), "it holds for all projects"


def test_people_are_told_of_and_what_agreement_takes(page: Page) -> None:
    page.open("/ui/projects/7/people")
    page.wait(lambda: "by 1 annotator" in page.text())
    assert "Annotations per task" in page.text()
    assert page.driver.find_elements(By.CSS_SELECTOR, "svg.chart .bar")


def test_the_queue_says_what_is_missing_and_a_refusal_is_shown(page: Page) -> None:
    page.open("/ui/projects/7/queue")
    assert "LABEL_STUDIO_URL" in page.text()
    for button in ("Choose the next tasks anew", "Predict all tasks"):
        page.press(button, sure=True)
        page.wait(lambda: page.driver.find_elements(By.CSS_SELECTOR, "#said .refused"))
        assert "set LABEL_STUDIO_URL" in page.driver.find_element(By.ID, "said").text
    page.driver.get_log("browser")  # the two 409


def test_a_run_over_files_shows_how_far_it_is_and_is_stopped(page: Page, rig: Rig) -> None:
    page.open("/ui/projects/7/queue")
    page.driver.get_log("browser")  # what was refused before
    rig.admin(
        "POST", "/projects/7/files", {"source": str(rig.data_dir / "in.csv"), "output": str(rig.data_dir / "out")}
    )
    page.wait(lambda: page.driver.find_elements(By.CSS_SELECTOR, "progress[aria-label='Progress of the files']"))
    assert "0 of 0 in" in page.text() and "0 workers" in page.text(), "nobody works at files here"
    assert page.check_access() == []
    page.press("Stop predicting files", sure=True)
    page.wait(lambda: "the parts that are written stay" in page.driver.find_element(By.ID, "said").text)
    page.wait(lambda: not page.driver.find_elements(By.CSS_SELECTOR, "progress"))
    assert rig.admin("GET", "/projects/7/files")["status"] == "cancelled"
    assert page.complaints() == []


def test_a_fine_tune_leaves_its_losses_and_stands_beside_the_champion(page: Page) -> None:
    page.open("/ui/projects/7/overview")
    page.press("Retrain", sure=True)
    page.wait(lambda: page.driver.find_elements(By.CSS_SELECTOR, "progress"))
    page.wait(lambda: not page.driver.find_elements(By.CSS_SELECTOR, "progress"), 280)
    page.open("/ui/projects/7/versions")
    assert "CHAMPION AND CHALLENGER" in page.text().upper() and "held out" in page.text()
    assert page.driver.find_elements(By.CSS_SELECTOR, "svg.chart .line")
    assert page.driver.find_elements(By.CSS_SELECTOR, "svg.chart .dashed")
    assert page.complaints() == []
