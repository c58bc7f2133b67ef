"""`doctor` on the real Label Studio: nothing to do after `connect`; then it finds what was undone there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from backend.doctor.verdict import Verdict, exit_status
from tests.e2e.conftest import Backend, Studio, wait_until
from tests.support.rig import ROOT

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def examine(backend: Backend, project: int) -> dict[str, dict[str, Any]]:
    """Check -> verdict. The exit status is the worst's: a small disk, or other tests' doings, may be a warning."""
    done = subprocess.run(
        [sys.executable, "-m", "backend", "doctor", "--project", str(project), "--json"],
        cwd=ROOT,
        env={**os.environ, **backend._environment, "PORT": str(backend.port), "DATA_DIR": str(backend.data_dir)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    seen = {entry["check"]: entry for entry in json.loads(done.stdout)}
    assert done.returncode == exit_status(Verdict(**entry) for entry in seen.values())
    return seen


def test_doctor_finds_what_was_undone(label_studio: Studio, backend: Backend, config: str) -> None:
    project = label_studio.create_project("doctor", config)
    backend.understudy("connect", "--project", str(project))
    backend.configs[project] = config
    backend.post("/setup", {"project": f"{project}.1", "schema": config})
    backend.understudy("resync", str(project))
    wait_until(lambda: is_reconciled(backend, project), "reconciled")
    seen = examine(backend, project)
    assert {name for name, entry in seen.items() if entry["state"] not in ("ok", "skipped")} <= {
        "data directory",
        "events",  # these two count what other tests had refused
        "requests",
    }
    assert seen["token of label studio"]["evidence"].startswith("a personal access token of understudy@example.com")
    assert seen["release of label studio"]["evidence"].startswith("1.23.2")
    assert seen[f"project {project}: ml backend"]["evidence"].startswith("Label Studio reaches")
    assert seen[f"project {project}: webhook is sent"]["state"] == "ok"
    (hook,) = label_studio.call("GET", f"/api/webhooks/?project={project}")
    label_studio.call("PATCH", f"/api/webhooks/{hook['id']}/", {"url": hook["url"], "is_active": False, "headers": {}})
    evidence = examine(backend, project)[f"project {project}: webhook"]["evidence"]
    assert "switched off" in evidence and "wrong secret" in evidence


def is_reconciled(backend: Backend, project: int) -> bool:
    last = json.loads(backend.understudy("status", str(project), "--json"))["last_sync"]
    return bool(last.get("at")) and not last.get("error")
