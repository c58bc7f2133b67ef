"""The whole product on one large project of a real Label Studio: from connecting it to the second queue."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import requests

from backend.labelstudio.local.server import LabelStudioServer
from backend.settings.settings import Settings
from backend.store.stores import Stores
from tests.support.rig import ROOT, Rig

LABELS = 24
"""Labels that are given, to whatever Label Studio hands out next."""

PAUSE = 1.0
"""Seconds between two labels."""

LEAD_SECONDS = 30.0
PATIENCE = 1800.0


def use_product(server: LabelStudioServer, project: int, labels: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """A row per step. `labels`: text -> label. Raises TimeoutError, requests.HTTPError, CalledProcessError."""
    rig = Rig(LABEL_STUDIO_URL=server.url, LABEL_STUDIO_API_KEY=server.access_token)
    with rig:
        began = time.monotonic()
        _connect(rig, project)
        yield {"step": "connect", "s": _since(began)}
        stores = Stores(Settings(data_dir=rig.data_dir, redis_url=""))
        try:
            yield from _label(server, rig, stores, project, labels, began)
        finally:
            stores.close()


def _label(
    server: LabelStudioServer, rig: Rig, stores: Stores, project: int, labels: Mapping[str, str], began: float
) -> Iterator[dict[str, Any]]:
    first = _wait(lambda: stores.task_queue.state(project).get("version"))
    state = stores.task_queue.state(project)
    yield {"step": "first queue, since connecting", "s": _since(began), "open": state["open"], "of": state["rows"]}
    session = requests.Session()
    session.headers["Authorization"] = f"Token {server.legacy_token}"
    asked, chosen, batch = [], 0, _batch(stores, project)
    for _ in range(LABELS):
        start = time.monotonic()
        reply = session.get(f"{server.url}/api/projects/{project}/next", timeout=120)
        reply.raise_for_status()
        asked.append(time.monotonic() - start)
        task = reply.json()
        batch |= _batch(stores, project)
        chosen += task["id"] in batch
        choice = {"choices": [labels[task["data"]["text"]]]}
        result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": choice}]
        body = {"result": result, "lead_time": LEAD_SECONDS}
        session.post(f"{server.url}/api/tasks/{task['id']}/annotations/", json=body, timeout=120).raise_for_status()
        time.sleep(PAUSE)
    row = {"step": f"{LABELS} labels, next task (median)", "s": round(statistics.median(asked), 2)}
    yield {**row, "most s": round(max(asked), 2), "chosen": chosen, "of": LABELS}
    began = time.monotonic()
    _wait(lambda: stores.task_queue.state(project)["version"] != first)
    yield {"step": "another queue, since the last label", "s": _since(began)}
    began, before = time.monotonic(), rig.admin("GET", f"/projects/{project}")["last_sync"].get("ok_at")
    rig.admin("POST", f"/projects/{project}/resync", {})
    _wait(lambda: rig.admin("GET", f"/projects/{project}")["last_sync"].get("ok_at") != before)
    yield {"step": "reconciliation", "s": _since(began)}


def _connect(rig: Rig, project: int) -> None:
    command = [sys.executable, "-m", "backend", "connect", "--project", str(project)]
    environment = {**os.environ, **rig.environment}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)


def _batch(stores: Stores, project: int) -> set[int]:
    return {entry["task"] for entry in stores.task_queue.plan(project).get("entries", ())}


def _wait(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing after {PATIENCE:.0f} s")
        time.sleep(0.2)
    return found


def _since(began: float) -> float:
    return round(time.monotonic() - began, 1)
