"""The tab of confidence tells the figures of `advice`, `accept` and `status`."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from backend.cli.render import COPYING_PER_CENT
from backend.ui.views.confidence import LEAST_ANSWERS, TARGETS, view_confidence
from model.evidence.anchoring_bias import TELLABLE_WIDTH, is_tellable
from model.evidence.pool_accuracy import pool_confidences, summarise_pool
from model.evidence.row import EvidenceRow, Judgement, Marked
from tests.support.rig import choices_config

PROJECT = 7
ADMIN = {"Authorization": "Bearer admin"}
TAB = f"/ui/projects/{PROJECT}/confidence"
POOL = np.concatenate([np.full(600, 0.97), np.full(400, 0.5)])
MARKS = '<View><Text name="text" value="$text"/><Labels name="label" toName="text"><Label value="PER"/></Labels></View>'


def keep(services: Any, count: int, config: str = "") -> None:
    """Answers that are right as often as they are sure; every third blind."""
    random = np.random.default_rng(0)
    rows = [
        EvidenceRow(
            "label",
            Judgement(sure, bool(random.random() < sure), 0.5),
            labels=200,
            at=count * 1000 + n,
            blind=n % 3 == 0,
        )
        for n, sure in enumerate(random.choice([0.5, 0.97], count).tolist())
    ]
    stores = services.stores
    stores.projects.save_config(PROJECT, config or choices_config(["order", "refund"]))
    stores.projects.save_summary(PROJECT, {"labels": {"label": {"order": 200}}, "samples": {"label": 200}})
    pool = summarise_pool(POOL)
    stores.evidence.save_survey(PROJECT, {"version": "v0.1", "labels": 200, "controls": {"label": pool}})
    stores.evidence.append(PROJECT, rows)


def test_every_step_of_the_slider_is_what_advice_and_accept_say(services: Any, client: Any) -> None:
    keep(services, 800)
    (control,) = view_confidence(services, PROJECT, {}).controls
    by_target = {step["target"]: step for step in control.steps}
    assert sorted(by_target) == sorted(TARGETS)
    first, next_ = control.steps[control.first : control.first + 2]
    assert first["target"] == 0.93 and first["threshold"] and next_["threshold"] is None, "the highest that is proven"
    advice = client.get(f"/admin/projects/{PROJECT}/advice", headers=ADMIN).json["controls"]["label"]
    assert [by_target[dial["target"]] for dial in advice["dial"]] == advice["dial"]
    told = Counter(f"{sure:.4f}" for sure in pool_confidences(summarise_pool(POOL)))
    asked = {"accuracy": 0.87, "control": "label", "confidences": told}
    accept = client.post(f"/admin/projects/{PROJECT}/dial", json=asked, headers=ADMIN).json
    assert accept == by_target[0.87] and accept["threshold"] == 0.97
    assert control.copying == advice["copying"] and control.tellable
    html = client.get(TAB, headers=ADMIN).get_data(as_text=True)
    assert f"{accept['errors']} errors in {accept['tests']} tests" in html
    assert client.get(f"{TAB}.json", headers=ADMIN).json["controls"][0]["steps"][0]["target"] == 0.8


def test_reliability_is_told_with_counts_once_there_is_enough(services: Any, client: Any) -> None:
    keep(services, LEAST_ANSWERS - 1)
    (control,) = view_confidence(services, PROJECT, {}).controls
    assert control.reliability is None and control.answers == LEAST_ANSWERS - 1
    html = client.get(TAB, headers=ADMIN).get_data(as_text=True)
    assert "Not enough answers yet: 39 of 40" in html and "13 of 20 tasks" in html
    keep(services, 200)
    (control,) = view_confidence(services, PROJECT, {}).controls
    assert [round(one.confidence, 2) for one in control.reliability.bins] == [0.5, 0.97]
    assert sum(one.n for one in control.reliability.bins) == 239 and control.reliability.error < 0.1
    assert "<svg" in client.get(TAB, headers=ADMIN).get_data(as_text=True)


def test_of_marked_text_each_shown_span_is_an_answer(services: Any, client: Any) -> None:
    own = Marked((("PER", 0.9, True), ("PER", 0.6, False)), ("PER",), 1)
    rows = [EvidenceRow("label", Judgement(0.5, False, 0.5), labels=30, at=n, marked=own) for n in range(20)]
    services.stores.projects.save_config(PROJECT, MARKS)
    services.stores.evidence.append(PROJECT, rows)
    (control,) = view_confidence(services, PROJECT, {}).controls
    assert control.answers == 40 and [one.right for one in control.reliability.bins] == [0.0, 1.0]
    status = client.get(f"/admin/projects/{PROJECT}", headers=ADMIN).json
    assert control.reliability.error == status["metrics"]["label"]["marked"]["ece"]
    assert control.steps == [] and "not asked about so far" in client.get(TAB, headers=ADMIN).get_data(as_text=True)


@pytest.mark.parametrize(("interval", "tells"), [([0.1, 0.6], True), ([0.1, 0.61], False)])
def test_a_rate_is_told_where_the_command_tells_it(interval: list[float], tells: bool) -> None:
    found: Any = {"rate": 0.3, "interval": interval}
    assert is_tellable(found) is tells and pytest.approx(COPYING_PER_CENT) == 100 * TELLABLE_WIDTH
