"""Champion and challenger stand side by side with the gate's reason; the losses of fine-tunes are drawn."""

from __future__ import annotations

from typing import Any

from backend.admin_json import VersionAnswer
from backend.routes.app import create_app
from backend.store.work.loss_curves import LossCurve
from backend.ui.views.versions import _compare, view_versions
from tests.backend.routes.ui.conftest import log_in

CURVE: LossCurve = {"loss": [(1, 2.0), (2, 1.5), (3, 1.8)], "held_out": [(2, 1.6)], "starts": [1, 3]}


def version(name: str, **more: Any) -> VersionAnswer:
    given = {"kind": "finetune", "status": "challenger", "reason": "", "parent": None, "created_at": "2026-11-29"}
    return {"version": name, "labels_seen": {}, "metrics": {}, "snapshot_seq": 0, **given, **more}  # type: ignore


def test_the_newest_fine_tune_is_compared_measure_by_measure() -> None:
    evidence = {
        "n": 40,
        "champion": {"accuracy": 0.8, "log_loss": 0.5, "ece": 0.1},
        "challenger": {"accuracy": 0.8, "log_loss": 0.4, "ece": 0.2},
        "log_loss_change": -0.1,
        "interval": [-0.2, 0.01],
        "better": 0.93,
    }
    gate = {"label": {"accepted": True, "decided": True, "reason": "better than the champion", "evidence": evidence}}
    found = _compare([version("v2.1"), version("v2", gate=gate), version("v1", gate={"label": {}})])
    assert len(found) == 1 and (found[0].version, found[0].n, found[0].change) == ("v2", 40, -0.1)
    sides = {row.measure: row.better for row in found[0].rows}
    assert sides == {"accuracy": None, "log-loss": True, "calibration error": False}


def test_too_little_evidence_has_a_reason_and_no_figures() -> None:
    gate = {"label": {"accepted": False, "decided": False, "reason": "too few", "evidence": {"n": 3}}}
    found = _compare([version("v1", gate=gate)])[0]
    assert (found.rows, found.change, found.interval, found.reason) == ([], None, None, "too few")
    assert _compare([version("v0.1")]) == []


def test_long_lists_come_a_page_at_a_time(linked: Any) -> None:
    for number in range(1, 26):
        linked.stores.versions.publish(7, f"v0.{number}", expected=None, seq=number, by="test", force=True)
    first, second = view_versions(linked, 7, {}), view_versions(linked, 7, {"list": "live", "page": "3"})
    assert [move["version"] for move in first.moves] == [f"v0.{number}" for number in range(25, 15, -1)]
    assert (first.moves_place.pages, first.moves_place.rows, first.versions_place.number) == (3, 25, 1)
    assert [move["version"] for move in second.moves] == [f"v0.{number}" for number in range(5, 0, -1)]
    client = create_app(linked).test_client()
    log_in(client, "admin")
    assert "list=live&amp;page=2" in client.get("/ui/projects/7/versions").text
    assert "21 to 25 of 25" in client.get("/ui/projects/7/versions?list=live&page=3").text


def test_curves_are_those_of_recent_fine_tunes(linked: Any) -> None:
    job = linked.stores.jobs.request_training(7, by="test")[0]["id"]
    linked.stores.loss_curves.save(7, job, CURVE)
    view = view_versions(linked, 7, {})
    assert list(view.curves) == [job] and view.comparisons == []
