"""Advice over HTTP from a real store, and on the terminal."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from backend.cli.render import render_advice
from model.evidence.pool_accuracy import summarise_pool
from model.evidence.row import EvidenceRow, Judgement

ADMIN = {"Authorization": "Bearer admin"}
POOL = np.concatenate([np.full(600, 0.97), np.full(400, 0.5)])


def rows_of(labels: int, count: int, seed: int = 0) -> list[EvidenceRow]:
    """Right as often as sure; a third blind, of which nobody copied."""
    random = np.random.default_rng(seed)
    confidence = random.choice([0.5, 0.97], count)
    return [
        EvidenceRow(
            "label",
            Judgement(float(sure), bool(random.random() < sure), 0.5),
            "v0.1",
            labels=labels,
            at=number,
            blind=number % 3 == 0,
        )
        for number, sure in enumerate(confidence)
    ]


@pytest.fixture
def project(services: Any) -> int:
    """200 labels learned; surveys at 25, 50, 100 and 200."""
    stores = services.stores
    stores.projects.save_config(7, "<View/>")
    stores.projects.save_summary(7, {"labels": {"label": {"order": 190, "refund": 10}}})
    for labels, mean in ((25, 0.7), (50, 0.74), (100, 0.78), (200, 0.82)):
        pool = {**summarise_pool(POOL), "mean": mean}
        stores.evidence.save_survey(7, {"version": "v0.1", "labels": labels, "controls": {"label": pool}})
    stores.evidence.append(7, rows_of(120, 800))
    return 7


def test_a_project_says_what_is_still_needed(client: Any, project: int) -> None:
    advice = client.get("/admin/projects/7/advice", headers=ADMIN).json
    assert client.get("/admin/projects/7", headers=ADMIN).json["advice"] == advice
    found = advice["controls"]["label"]
    assert found["classes"] == {"refund": 15}
    [first, *_] = found["forecast"]["gains"]
    assert first["gain"] == 0.01 and 200 < first["median"] < 300 and first["low"] <= first["median"] <= first["high"]
    [loose, _, strict] = found["dial"]
    assert loose["target"] == 0.9 and 590 <= loose["count"] <= 600 and math.isclose(loose["threshold"], 0.97)
    assert strict["threshold"] is None and strict["more"] > 0
    assert found["copying"]["blind"] == 267 and found["copying"]["interval"][0] <= 0.05
    assert advice["stability"] is None


def test_new_evidence_makes_new_advice_and_nothing_new_makes_none(services: Any, project: int) -> None:
    first = services.advisor.advise(services.stores, project)
    assert services.advisor.advise(services.stores, project) is first
    services.stores.evidence.append(project, rows_of(130, 50, seed=1))
    assert services.advisor.advise(services.stores, project)["controls"]["label"]["copying"]["blind"] == 284
    services.stores.task_queue.update(project, {"agreements": [{"kappa": 0.97, "n": 800, "changed": 20, "at": 1.0}]})
    stability = services.advisor.advise(services.stores, project)["stability"]
    assert stability == {"kappas": [0.97], "changed": 20, "n": 800, "settled": False}


def test_a_project_without_evidence_gets_no_advice(client: Any, services: Any) -> None:
    services.stores.projects.save_config(8, "<View/>")
    assert client.get("/admin/projects/8/advice", headers=ADMIN).json == {"controls": {}, "stability": None}
    assert client.get("/admin/projects/9/advice", headers=ADMIN).status_code == 404
    assert client.get("/admin/projects/8/advice").status_code == 401


def test_the_dial_is_turned_for_given_confidences(client: Any, project: int) -> None:
    body = {"accuracy": 0.9, "control": "label", "confidences": {"0.97": 300, "0.5": 700}}
    found = client.post("/admin/projects/7/dial", json=body, headers=ADMIN).json
    assert found["count"] == 300 and found["lower_bound"] >= 0.9
    for wrong in ({"accuracy": 1.5}, {"confidences": {"x": 1}}, {"confidences": {"0.5": 1e30}}, {"control": 3}):
        assert client.post("/admin/projects/7/dial", json={**body, **wrong}, headers=ADMIN).status_code == 400
    for carried in ([], {"odd": 1}, {"exact": -1}, {"exact": "2"}, {"near": True}):
        asked = {**body, "carried_over": carried}
        assert client.post("/admin/projects/7/dial", json=asked, headers=ADMIN).status_code == 400
    asked = {**body, "carried_over": {"exact": 3, "near": 0}}
    told = client.post("/admin/projects/7/dial", json=asked, headers=ADMIN).json["carried_over"]
    assert not told["exact"]["accepted"] and told["exact"]["more"] > 10, "no label was ever compared with a duplicate's"


def test_the_terminal_says_it_in_a_line_each() -> None:
    gains = [
        {"gain": 0.01, "low": 240, "median": 340, "high": 900, "beyond": 1600},
        {"gain": 0.05, "low": 900, "median": None, "high": None, "beyond": 1600},
    ]
    dial = {"target": 0.98, "threshold": 0.93, "share": 0.4, "lower_bound": 0.981, "errors": 1, "tests": 300}
    copying = {"rate": 0.3, "interval": [0.2, 0.4], "blind_wrong": 30, "lacking": 0}
    control = {
        "forecast": {"labels": 200, "accuracy": 0.82, "gains": gains},
        "classes": {"refund": 15},
        "scarce": 3,
        "dial": [dial, {"target": 0.99, "threshold": None, "reason": "12 tests"}],
        "copying": copying,
    }
    stability = {"kappas": [0.9, 0.991], "changed": 3, "n": 700, "settled": True}
    assert render_advice({"controls": {"label": control}, "stability": stability}) == [
        "label: 0.82 on unlabelled tasks now; more labels needed: about 140 (40 to 700) for +1, more than 1400 for +5 "
        "points",
        "label: scarce classes: refund needs 15 and 2 more classes",
        "label: accept at 98%: confidence 0.93 and up, 40% of the tasks, at least 98.1% of them right "
        "(1 errors in 300 tests)",
        "label: accept at 99%: not yet (12 tests)",
        "label: 30% (20% to 40%) of wrong pre-labels are accepted by annotators",
        "since the plan before, 3 of 700 answers changed (kappa 0.991); the answers have settled",
    ]
    wide = {"copying": {**copying, "interval": [0.0, 0.8], "lacking": 2100}}
    assert render_advice({"controls": {"label": wide}}) == [
        "label: copying of wrong pre-labels: not known yet (30 wrong answers on blind tasks); 10 points more or less "
        "take about 2100 labels more, or a larger QUEUE_BLIND_SHARE"
    ]
    assert render_advice({}) == []
