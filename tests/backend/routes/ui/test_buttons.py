"""Every button does its work once however often it is pressed, says so, and stands in the audit log."""

from __future__ import annotations

import re
from typing import Any

import pytest

from backend.routes.app import create_app
from backend.store.work.file_runs import Asked
from backend.ui.page import TABS
from tests.backend.routes.ui.conftest import TOKEN, log_in
from tests.backend.ui.views.conftest import linked  # noqa: F401

ASKS = {
    "retrain",
    "resync",
    "cancel",
    "rollback",
    "unpin",
    "queue",
    "predict",
    "predict/cancel",
    "files/cancel",
    "suspects",
}
"""They change what annotators see, or end what runs: each asks once."""

WANTED: Asked = {"source": "file:///in/a.csv", "output": "file:///out", "version": "v0.3", "rows": 100, "prefix": ""}


@pytest.fixture
def press(linked: Any) -> Any:  # noqa: F811
    """Presses a button of project 7 as the page's script does; its reply."""
    client = create_app(linked).test_client()
    log_in(client)
    csrf = TOKEN.search(client.get("/ui").text)
    assert csrf
    part = {"HX-Request": "true", "X-CSRF-Token": csrf[1]}
    return lambda action, **fields: client.post(f"/ui/projects/7/{action}", headers=part, data=fields)


@pytest.mark.parametrize(
    ("action", "first", "second"),
    [
        ("resync", "asked for", "already asked for"),
        ("queue", "asked for", "already asked for"),
        ("predict", "asked for", "already"),
        ("check", "the doctor looks;", "looks already"),
        ("retrain", "asked for", "nothing is trained twice"),
        ("unpin", "learning goes on", "learning goes on"),
    ],
)
def test_a_second_press_does_nothing_more(press: Any, linked: Any, action: str, first: str, second: str) -> None:  # noqa: F811
    for said in (first, second):
        reply = press(action)
        assert reply.status_code == 200 and said in reply.text, reply.text
        assert reply.headers["HX-Trigger"] == "understudy:refresh"
    assert [entry["action"] for entry in linked.stores.audit.read(9)].count(action) == 2
    assert len(linked.stores.jobs.recent(7)) == (action == "retrain")


def test_what_ends_a_run_says_so_when_none_is_there(press: Any, linked: Any) -> None:  # noqa: F811
    assert press("predict/cancel").status_code == 404
    press("predict")
    assert "what is written stays" in press("predict/cancel").text
    again = press("predict/cancel")
    assert again.status_code == 409 and "is over" in again.text
    run = linked.stores.prediction_runs.find(7)
    assert run["status"] == "cancelled"
    assert press("files/cancel").status_code == 404
    linked.stores.file_runs.request(7, "admin", WANTED)
    assert "parts that are written stay" in press("files/cancel").text
    again = press("files/cancel")
    assert again.status_code == 409 and "is over" in again.text


def test_what_changes_what_annotators_see_asks_once(linked: Any) -> None:  # noqa: F811
    linked.stores.versions.pin(7, "v0.1")
    client = create_app(linked).test_client()
    log_in(client)
    forms = {}
    for state in ("idle", "busy"):
        if state == "busy":
            linked.stores.jobs.request_training(7, by="test")
            linked.stores.prediction_runs.request(7, "test", False)
            linked.stores.file_runs.request(7, "test", WANTED)
        for tab in TABS:
            text = client.get(f"/ui/projects/7/{tab.slug}").text
            for form in re.findall(r'<button[^>]*class="act[^>]*>', text):
                found = re.search(r"/ui/projects/7/([\w/-]+)", form)
                assert found
                forms[found[1]] = "hx-confirm=" in form
    assert ASKS - {"rollback"} <= {action for action, asks in forms.items() if asks}, forms
    assert not forms["check"]
