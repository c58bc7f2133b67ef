"""A version is taken away with a browser: pressed, watched, downloaded, unpacked, and run in a bare environment."""

from __future__ import annotations

import json
import subprocess
import time
import zipfile
from pathlib import Path

import pytest
import requests
from selenium.webdriver.common.by import By

from tests.support.bare import bare_python
from tests.support.rig import Project, Rig
from tests.ui.conftest import DESK, PHONE, Page

pytestmark = [pytest.mark.e2e, pytest.mark.long]


@pytest.fixture(autouse=True)
def logged_in(page: Page, rig: Rig, project: Project) -> None:
    page.open("/ui")
    if page.driver.find_elements(By.ID, "token"):
        page.log_in()


def test_a_version_is_exported_watched_downloaded_and_answers_alone(
    page: Page, rig: Rig, project: Project, tmp_path: Path
) -> None:
    page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.open("/ui/projects/7/versions")
    page.driver.execute_script("window.still = true")
    box = page.driver.find_element(By.NAME, "export_accept_loss")
    box.click()
    page.press("Export")
    page.wait(lambda: "export: asked for" in page.driver.find_element(By.ID, "said").text)
    page.wait(lambda: page.driver.find_elements(By.CSS_SELECTOR, ".export progress"))
    assert page.check_access() == []
    page.wait(lambda: page.driver.find_elements(By.CSS_SELECTOR, ".export table a"), 280)
    assert "answered alike" in page.text() and "MB" in page.text()
    assert not page.driver.find_elements(By.CSS_SELECTOR, ".export progress")
    for width in (DESK, PHONE):
        page.look(width, dark=False)
        assert page.check_access() == [] and page.overflow() <= 0
    page.look(DESK, dark=False)
    told = rig.admin("GET", "/projects/7/export")
    [archive] = told["archives"]
    page.driver.find_element(By.LINK_TEXT, archive["name"]).click()
    packed = tmp_path / archive["name"]
    page.wait(lambda: packed.exists() and packed.stat().st_size == archive["bytes"], 60)
    assert page.driver.execute_script("return window.still") is True, "nothing was loaded anew"
    assert page.complaints() == []
    with zipfile.ZipFile(packed) as opened:
        opened.extractall(tmp_path)
    texts = [text for text, _ in Project.sample()[200:230]]
    (tmp_path / "in.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    program = tmp_path / archive["name"].removesuffix(".zip") / "predict.py"
    command = [bare_python(), "-I", program, tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl"]
    subprocess.run(command, env={}, check=True)
    given = [json.loads(line)["answer"]["labels"] for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    served = [row["result"][0]["value"]["choices"] for row in project.predict(texts)]
    assert given == served


def test_clients_that_break_off_leave_their_places(rig: Rig) -> None:
    [archive] = rig.admin("GET", "/projects/7/export")["archives"]
    said = []
    for _ in range(4):
        asked = {"Authorization": f"Bearer {rig.admin_token}"}
        with requests.get(f"{rig.url}{archive['path']}", headers=asked, stream=True, timeout=60) as reply:
            said.append(reply.status_code)
            next(reply.iter_content(1000))
        time.sleep(1.0)
    assert said == [200] * 4


def test_what_is_there_is_not_made_again_and_the_twin_tells_of_it(page: Page, rig: Rig) -> None:
    page.open("/ui/projects/7/versions")
    page.driver.find_element(By.NAME, "export_accept_loss").click()
    page.press("Export")
    page.wait(lambda: "is there already" in page.driver.find_element(By.ID, "said").text)
    page.open("/ui/projects/7/versions.json")
    twin = json.loads(page.text())
    assert twin["export"]["archives"][0]["sha256"] == rig.admin("GET", "/projects/7/export")["archives"][0]["sha256"]
