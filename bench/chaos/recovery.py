"""The end of a run: all faults are over, one reconciliation of every project, then everything is to be learned."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import requests

from bench.chaos.check.history import History
from bench.chaos.observer import Observer
from bench.chaos.product import Product
from tests.support.label_studio_stub import ReferenceModel

PATIENCE = 240.0


def settle(product: Product, truth: ReferenceModel, witness: Observer, history: History) -> None:
    """Notes an `end` of every project, or what is `broken`."""
    history.note("calm")
    wait_for(product.rig.is_ready, "/ready says yes after all faults", history)
    before = {project: wait_for(lambda p=project: witness.read(p), "Redis answers", history) for project in truth.tasks}
    asked = time.time()
    for project in truth.tasks:
        wait_for(lambda p=project: product.rig.admin("POST", f"/projects/{p}/resync", {}), "resync accepted", history)
    for project in truth.tasks:
        wait_for(lambda p=project: _synced(witness.read(p), asked), f"project {project} reconciles", history)
    for project in truth.tasks:
        wait_for(lambda p=project: _learned(witness.read(p)), f"project {project} learns everything", history)
        _note_end(product, truth, project, witness, history, (before[project] or {}).get("state", {}))


def _note_end(
    product: Product, truth: ReferenceModel, project: int, witness: Observer, history: History, before: dict[int, Any]
) -> None:
    found = witness.read(project)
    if found is None:
        return history.note("broken", what="Redis does not answer at the end")
    expected = {number: facts[:2] for number, facts in truth.annotations(project).items()}
    manifest = _manifest(product, project, found["live"])
    # A 503 is an answer that the product may give while the disk is slow.
    state = wait_for(lambda: product.rig.admin("GET", f"/projects/{project}"), "the admin API answers", history)
    history.note(
        "end",
        project=project,
        truth=expected,
        store=found["state"],
        drift=sum(expected.get(number) != before.get(number) for number in {*expected, *before}),
        pending=(state or {}).get("pending"),
        labels_seen=manifest.get("labels_seen", {}).get("label"),
        snapshot_seq=manifest.get("snapshot_seq"),
        **{name: found[name] for name in ("seq", "fitted", "trained", "live")},
    )


def wait_for(condition: Callable[[], Any], what: str, history: History, patience: float = PATIENCE) -> Any:
    """What the condition returns once it is true; notes `broken` and returns None when that takes too long."""
    deadline, last = time.monotonic() + patience, ""
    while time.monotonic() < deadline:
        try:
            if found := condition():
                return found
        except (requests.RequestException, OSError, ValueError) as error:
            last = repr(error)
        time.sleep(0.3)
    history.note("broken", what=f"not within {patience:.0f} s: {what} {last[:300]}")
    return None


def _synced(found: dict[str, Any] | None, since: float) -> bool:
    """A reconciliation that began after `since` (it notes its end and how long it took) has succeeded."""
    sync = (found or {}).get("sync") or {}
    return bool(sync) and not sync.get("error") and sync["at"] - sync.get("seconds", 0) > since


def _learned(found: dict[str, Any] | None) -> bool:
    return found is not None and found["seq"] == found["fitted"] <= found["trained"]


def _manifest(product: Product, project: int, version: str | None) -> dict[str, Any]:
    path = product.rig.data_dir / "models" / str(project) / str(version) / "manifest.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except OSError:
        return {}
