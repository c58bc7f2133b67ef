"""What the doctor finds is kept by project, asked for once, and looked for again in turn; nothing secret is kept."""

from __future__ import annotations

from typing import Any

import pytest

from backend.doctor.verdict import fail, ok, warn
from backend.jobs import context as module
from backend.jobs.doctor import examine as job
from backend.jobs.doctor.examine import examine, sort_verdicts
from backend.redaction import process_redactor
from backend.settings.settings import Settings
from backend.store.admin.findings import INSTALLATION
from tests.backend.doctor.test_all_checks import connected, studio  # noqa: F401

pytestmark = pytest.mark.redis


def test_verdicts_go_to_their_project_and_the_rest_to_all() -> None:
    found = sort_verdicts(
        [ok("redis", "7.2"), fail("project 7: webhook", "none", "connect"), fail("project 12", "gone", "x")], [7, 3]
    )
    assert {of: [one["check"] for one in own] for of, own in found.items()} == {
        0: ["redis"],
        7: ["webhook"],
        3: [],
        12: [""],
    }
    assert found[7][0] == {"check": "webhook", "state": "fail", "evidence": "none", "remedy": "connect"}


def test_no_secret_is_kept() -> None:
    process_redactor().learn("hunter2-long")
    found = sort_verdicts([warn("web", "refused hunter2-long", "set it to hunter2-long")], [])
    assert "hunter2" not in str(found)


def test_an_examination_is_kept_and_may_be_asked_for_again(context: Any) -> None:
    store = context.stores.findings
    assert store.request() and not store.request() and store.is_asked()
    assert examine(INSTALLATION) == "done"
    assert not store.is_asked()
    report = store.read()
    assert report is not None and {"redis", "data directory"} <= {one["check"] for one in report["findings"]}
    assert {one["state"] for one in report["findings"] if one["check"] == "scheduler"} == {"fail"}


def test_a_project_s_connection_is_told_of_that_project(
    context: Any,
    connected: Settings,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module.context(), "settings", connected)
    context.stores.projects.save_config(1, "<View/>")
    assert examine(1) == "done"
    report = context.stores.findings.read(1)
    checks = {one["check"]: one["state"] for one in report["findings"]}
    assert checks["ml backend"] == "ok" and checks["webhook"] == "ok", checks


def test_the_projects_take_turns_and_those_that_are_gone_are_forgotten(context: Any) -> None:
    store = context.stores.findings
    store.save({3: [], 9: []}, [3, 9])
    assert store.oldest([3, 5, 9], 2) == [5, 3]
    store.save({INSTALLATION: []}, [3])
    assert set(store.read_all()) == {INSTALLATION, 3}


def test_a_doctor_that_fails_has_failed(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no such check")

    monkeypatch.setattr(job, "sort_verdicts", broken)
    assert examine(INSTALLATION) == "failed" and not context.stores.findings.is_asked()
