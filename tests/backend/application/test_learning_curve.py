"""What an admin sees of the answers to new labels: over HTTP from a real store, and on the terminal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backend.cli.render import render_learning_curve
from backend.rules.recent_answers import summarise_evidence
from model.evidence.learning_curve import tally
from model.evidence.pool_accuracy import summarise_pool
from model.evidence.row import EvidenceRow, Judgement

ADMIN = {"Authorization": "Bearer admin"}


def rows_at(labels: int, count: int, right: int, confidence: float = 0.6) -> list[EvidenceRow]:
    judged = [Judgement(confidence, number < right, 0.5) for number in range(count)]
    return [EvidenceRow("label", judgement, "v0.1", labels=labels) for judgement in judged]


@pytest.fixture
def project(services: Any) -> int:
    services.stores.projects.save_config(7, "<View/>")
    return 7


def test_the_curve_over_http(client: Any, services: Any, project: int) -> None:
    rows = rows_at(8, 20, 10) + rows_at(100, 40, 32)
    services.stores.evidence.append(project, rows, tally(rows))
    survey = {"version": "v0.1", "controls": {"label": summarise_pool(np.full(500, 0.9))}}
    services.stores.evidence.save_survey(project, survey)
    body = client.get("/admin/projects/7/curve", headers=ADMIN).json
    assert [(p["labels"], p["accuracy"], p["n"]) for p in body["curve"]["label"]] == [(8, 0.5, 20), (100, 0.8, 40)]
    recent = body["recent"]["label"]
    assert (recent["n"], recent["accuracy"], recent["confidence"]) == (60, 0.7, 0.6)
    assert recent["pool"]["unlabelled"] == 500 and recent["pool"]["bias"] == pytest.approx(0.7 - 1.0)
    described = client.get("/admin/projects/7", headers=ADMIN).json
    assert described["metrics"] == body["recent"] and described["curve"] == body["curve"]


def test_a_project_without_evidence_has_an_empty_curve(client: Any, project: int) -> None:
    assert client.get("/admin/projects/7/curve", headers=ADMIN).json == {"curve": {}, "recent": {}}
    assert client.get("/admin/projects/8/curve", headers=ADMIN).status_code == 404
    assert client.get("/admin/projects/7/curve").status_code == 401


def test_rows_of_an_earlier_release_make_a_curve(client: Any, services: Any, project: int) -> None:
    services.stores.evidence.append(project, rows_at(30, 12, 6))
    assert client.get("/admin/projects/7/curve", headers=ADMIN).json["curve"]["label"][0]["accuracy"] == 0.5


def test_the_metrics_are_those_of_the_last_rows_of_each_control() -> None:
    rows = rows_at(1, 300, 0) + rows_at(100, 200, 150) + [replace(rows_at(5, 1, 1)[0], control="stars")]
    found = summarise_evidence(rows)
    assert found["label"] == {"n": 200, "accuracy": 0.75, "confidence": 0.6, "log_loss": 0.5}
    assert found["stars"]["n"] == 1


def test_what_to_expect_of_the_pool_is_told_by_versions_that_resemble_the_live_one() -> None:
    rows = rows_at(3, 60, 0, confidence=0.9) + rows_at(80, 40, 36, confidence=0.9)
    pool = {"label": summarise_pool(np.full(500, 0.9))}
    found = summarise_evidence(rows, {"labels": 100, "controls": pool})["label"]
    assert found["n"] == 100 and found["accuracy"] == 0.36, "what was answered is told whole"
    assert found["pool"]["labelled"] == 40 and found["pool"]["accuracy"] == pytest.approx(0.9)
    assert "pool" not in summarise_evidence(rows, {"labels": 200, "controls": pool})["label"], "too early to tell"


def test_the_terminal_says_it_in_two_or_three_lines() -> None:
    points = [{"labels": n, "accuracy": n / 1000} for n in (2, 5, 11, 20, 45, 90, 180, 260)]
    metrics = {"label": {"n": 200, "accuracy": 0.84, "confidence": 0.8, "log_loss": 0.41}}
    pool = {"accuracy": 0.91, "interval": [0.87, 0.94], "bias": -0.07, "unlabelled": 900}
    assert render_learning_curve(metrics, {"label": points}) == [
        "label: 0.00 at 2, 0.01 at 11, 0.04 at 45, 0.18 at 180, 0.26 at 260 labels (each before it was learned)",
        "label: 0.84 of the last 200 new labels, with confidence 0.80 and log-loss 0.41",
    ]
    [_, line] = render_learning_curve({"label": {**metrics["label"], "pool": pool}}, {})
    assert line == (
        "label: 0.91 (0.87 to 0.94) to be expected on 900 unlabelled tasks; the labelled ones look 0.07 worse"
    )
