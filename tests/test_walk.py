"""How many modules somebody opens who follows one text or one label: it may fall, and not rise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.tiny import tiny_base  # noqa: F401
from tests.support.walk import Recorder

ROOT = Path(__file__).parents[1]
TEXT_MODULES, LABEL_MODULES = 45, 97
"""Reached now in float32, with two for a connection to Redis that is opened on the way, six that carry a label to the
duplicates of its text, one that keeps a long job's lease, and one that reads in halves what a GPU has no room for; the
aim is 30 and 35."""


def test_the_walks_grow_no_longer(tiny_base: Path) -> None:  # noqa: F811
    environment = {**os.environ, "BASE_MODEL": str(tiny_base), "OMP_NUM_THREADS": "1", "PRECISION": "fp32"}
    command = [sys.executable, "-m", "tests.support.walk", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    walks = json.loads(done.stdout.splitlines()[-1])
    assert {"backend/routes/labelstudio.py", "model/versions/live_model.py"} <= set(walks["text"])
    way = ("application/webhook_events", "store/examples", "jobs/learn/refit", "store/versions", "serving/registry")
    assert {f"backend/{module}.py" for module in way} <= set(walks["label"]), "from the click to the swap"
    assert len(walks["text"]) <= TEXT_MODULES, walks["text"]
    assert len(walks["label"]) <= LABEL_MODULES, walks["label"]


def test_what_is_entered_counts_and_what_is_only_imported_does_not() -> None:
    from backend.labelstudio import ids

    recorder = Recorder()
    recorder.install()
    try:
        with recorder.recording() as entered:
            ids.read_id(7, "project")
        ids.read_project_id("7.1")
    finally:
        recorder.remove()
    assert {module: sorted(names) for module, names in entered.items()} == {
        "backend/labelstudio/ids.py": ["_is_id", "read_id"]
    }


def test_a_thread_is_followed_until_it_has_returned_from_the_last_function() -> None:
    from backend.labelstudio import ids, records

    recorder = Recorder()
    recorder.install()
    try:
        with recorder.recording(stop_at=ids.read_id.__code__) as entered:
            ids.read_id(7, "project")
            records.microseconds("2026-01-01T00:00:00Z")
    finally:
        recorder.remove()
    assert list(entered) == ["backend/labelstudio/ids.py"]
