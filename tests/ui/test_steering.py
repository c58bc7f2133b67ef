"""People, queue, versions and operations in a real browser: what a button came to is shown without a reload."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support.rig import Project, Rig
from tests.support.teacher_server import TeacherServer
from tests.ui.conftest import TEACHER_KEY, Page

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


def test_a_class_is_hunted_and_what_is_wrong_with_a_field_is_said_there(page: Page, rig: Rig) -> None:
    page.open("/ui/projects/7/queue")
    page.driver.execute_script("window.still = true")
    page.driver.get_log("browser")  # what was refused before

    def fill(name: str, text: str) -> None:
        field = page.driver.find_element(By.ID, f"hunt_{name}")
        field.send_keys(Keys.CONTROL, "a", Keys.NULL, text)

    def said(name: str) -> str:
        return str(page.driver.find_element(By.ID, f"hunt_{name}_said").text)

    names = "#hunt_names option"
    page.driver.find_element(By.ID, "hunt_label").click()
    options = page.wait(lambda: page.driver.find_elements(By.CSS_SELECTOR, names))
    label = str(options[0].get_attribute("value"))
    fill("label", f"{label} unknown")
    page.wait(lambda: not page.driver.find_elements(By.CSS_SELECTOR, names))  # proposed is what holds the text
    fill("regex", "(" + Keys.ENTER)
    page.wait(lambda: label in said("label") and "none of" in said("label"))
    assert page.driver.switch_to.active_element.get_attribute("id") == "hunt_label"
    fill("label", label + Keys.ENTER)
    page.wait(lambda: "missing )" in said("regex") and "none of" not in said("label"))
    assert page.check_access() == []
    page.keep("hunt-refused")
    fill("regex", "refund")
    page.press("Hunt")
    page.wait(lambda: "20 more of it are hunted" in page.driver.find_element(By.ID, "said").text)
    page.wait(lambda: "from the next choice on" in page.text())
    assert page.driver.find_element(By.ID, "hunt_regex").get_attribute("value") == "", "sent"
    page.press("Stop", sure=True)
    page.wait(lambda: "not hunted any more" in page.driver.find_element(By.ID, "said").text)
    page.wait(lambda: "stopped" in page.driver.find_element(By.CSS_SELECTOR, ".hunts table").text)
    [order] = rig.admin("GET", "/projects/7/hunts")["orders"]
    assert (order["label"], order["stopped"]) == (label, True)
    assert page.driver.execute_script("return window.still") is True
    assert all("400" in entry for entry in page.complaints()), "those that were refused"


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


def test_a_teacher_is_asked_and_stopped_and_what_it_took_is_told(
    page: Page, rig: Rig, project: Project, teacher: TeacherServer
) -> None:
    project.predict([text for text, _ in Project.sample()[100:130]])

    def would_send_all() -> bool:  # texts are stored a moment after they were answered, and the page was made before
        page.open("/ui/projects/7/queue")
        return "A run would send 30 texts" in page.text()

    page.wait(would_send_all)
    assert "they stay on this machine" in page.text() and teacher.seen == []
    page.driver.execute_script("window.still = true")
    page.press("Ask the teacher", sure=True)
    page.wait(lambda: "is asked about unlabelled texts" in page.driver.find_element(By.ID, "said").text)
    page.wait(lambda: "0 of 30 texts, asked again later" in page.text())
    assert "it is asked too often" in page.text() and "1 request" in page.text()
    assert page.check_access() == []
    page.press("Stop asking", sure=True)
    page.wait(lambda: "30 texts: cancelled" in page.text())
    page.press("Ask the teacher", sure=True)
    page.wait(lambda: "30 of 30 texts: done" in page.text())
    assert "30 requests, 3,300 tokens, about 0.0066 in TEACHER_PRICE" in page.text()
    assert "Nothing is left to ask" in page.text()
    assert TEACHER_KEY not in page.driver.page_source and TEACHER_KEY not in rig.log.read_text(errors="replace")
    done = [entry["action"] for entry in rig.admin("GET", "/audit")["actions"]]
    assert (done.count("teacher"), done.count("teacher/stop")) == (2, 1)
    assert page.driver.execute_script("return window.still") is True
    assert page.complaints() == []


@pytest.mark.long
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
