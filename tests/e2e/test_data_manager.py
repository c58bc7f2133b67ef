"""The Data Manager's page rounds what the API lists: whoever compares the two compares numbers."""

from __future__ import annotations

import pytest
from selenium import webdriver

from tests.e2e.conftest import Studio, choices_result, log_in
from tests.e2e.data_manager import ROUNDED, make_tab, rows_of
from tests.e2e.queue import SCORE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SHOWN = {0.0: "0", 0.00005: "0.000", 0.0999: "0.100", 0.2996: "0.300", 0.355153: "0.355", 0.99996: "1.000", 1.0: "1"}
"""Score -> what Label Studio's page makes of it."""


def test_the_page_shows_rounded_scores(browser: webdriver.Chrome, label_studio: Studio, config: str) -> None:
    project = label_studio.create_project("rounded scores", config)
    label_studio.import_texts(project, [f"message {score}" for score in SHOWN])
    for task, score in zip(label_studio.tasks(project), SHOWN, strict=True):
        body = {"task": task["id"], "score": score, "result": choices_result("praise"), "model_version": "any"}
        label_studio.call("POST", "/api/predictions/", body)
    label_studio.call("PATCH", f"/api/projects/{project}/", {"model_version": "any"})  # whose scores are listed
    tab = make_tab(label_studio, project, ["tasks:id", SCORE], title="Scores")
    log_in(browser, label_studio)
    browser.get(f"{label_studio.server.url}/projects/{project}/data?tab={tab}")
    rows = sorted(rows_of(browser, SCORE), key=lambda row: int(row["tasks:id"]))
    assert [row[SCORE] for row in rows] == list(SHOWN.values())
    assert [float(row[SCORE]) for row in rows] == pytest.approx(list(SHOWN), abs=ROUNDED)
