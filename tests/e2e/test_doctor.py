"""`doctor` on the real Label Studio: nothing to do after `connect`; then it finds what was undone there."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from backend.doctor.machine import FEW_FREE
from tests.e2e.conftest import Backend, Studio, wait_until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def examine(backend: Backend, project: int, expect: int) -> dict[str, dict[str, Any]]:
    printed = backend.understudy("doctor", "--project", str(project), "--json", expect=expect)
    return {entry["check"]: entry for entry in json.loads(printed)}


def test_doctor_finds_what_was_undone(label_studio: Studio, backend: Backend, config: str) -> None:
    project = label_studio.create_project("doctor", config)
    backend.understudy("connect", "--project", str(project))
    backend.configs[project] = config
    backend.post("/setup", {"project": f"{project}.1", "schema": config})
    backend.understudy("resync", str(project))
    wait_until(lambda: is_reconciled(backend, project), "reconciled")
    has_room = shutil.disk_usage(backend.data_dir).free > FEW_FREE  # else there is a warning, and the status is 1
    seen = examine(backend, project, 0 if has_room else 1)
    assert seen["token of label studio"]["evidence"].startswith("a personal access token of understudy@example.com")
    assert seen["release of label studio"]["evidence"].startswith("1.23.2")
    assert seen[f"project {project}: ml backend"]["evidence"].startswith("Label Studio reaches")
    assert seen[f"project {project}: webhook is sent"]["state"] == "ok"
    (hook,) = label_studio.call("GET", f"/api/webhooks/?project={project}")
    label_studio.call("PATCH", f"/api/webhooks/{hook['id']}/", {"url": hook["url"], "is_active": False, "headers": {}})
    evidence = examine(backend, project, 2)[f"project {project}: webhook"]["evidence"]
    assert "switched off" in evidence and "wrong secret" in evidence


def is_reconciled(backend: Backend, project: int) -> bool:
    last = json.loads(backend.understudy("status", str(project), "--json"))["last_sync"]
    return bool(last.get("at")) and not last.get("error")
