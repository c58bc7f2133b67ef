"""kill -9 of every process under `understudy up`, one after the other, while labels arrive and a training runs."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import psutil
import pytest
import requests

from tests.e2e.conftest import wait_until
from tests.support.rig import Project, Rig, endless_rows, read_rows

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ROLES = ("web", "learner", "trainer", "sync", "scheduler", "redis")


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Rig(FINETUNE_ENABLED="false", FINETUNE_STEPS="12") as running:
        yield running


def processes(rig: Rig, role: str) -> list[psutil.Process]:
    """The processes of one role below `understudy up`, oldest first."""
    assert rig.process is not None
    found = []
    for child in psutil.Process(rig.process.pid).children(recursive=True):
        try:
            command = " ".join(child.cmdline())
        except psutil.Error:
            continue
        if f" backend {role}" in command or (role == "redis" and "redis-server" in command):
            found.append(child)
    return sorted(found, key=lambda process: process.create_time())


class Annotator(threading.Thread):
    """Labels without pause; remembers what was acknowledged, and sends again what was not."""

    def __init__(self, project: Project) -> None:
        super().__init__(daemon=True)
        self.project = project
        self.acknowledged: set[int] = set()
        self.refused = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        rows = itertools.islice(endless_rows(read_rows()), 64, None)
        for text, label in rows:
            if self.stopped.is_set():
                return
            pair = self.project.annotation(text, label)
            while not self.stopped.is_set():
                try:
                    self.project.rig.webhook(self.project.event("ANNOTATION_CREATED", **pair))
                    self.acknowledged.add(int(pair["annotation"]["id"]))
                    break
                except requests.RequestException:
                    self.refused += 1
                    time.sleep(0.1)
            time.sleep(0.15)


def test_every_process_comes_back_and_nothing_acknowledged_is_lost(rig: Rig) -> None:
    rows = read_rows()
    project = Project(rig, 7, sorted({label for _, label in rows}))
    project.setup()
    first = set(project.annotate_many(rows[:64]))
    project.settle()
    job = rig.admin("POST", "/projects/7/retrain", {})["job"]
    annotator = Annotator(project)
    annotator.start()
    for role in ROLES:
        victims = wait_until(lambda role=role: processes(rig, role), f"{role} runs")
        victims[0].kill()
        wait_until(
            lambda role=role, old=victims[0].pid: [p for p in processes(rig, role) if p.pid != old],
            f"{role} is started again",
        )
        wait_until(lambda: ready(rig) and stores(rig), f"ready again after kill -9 of {role}")
        time.sleep(1)
    annotator.stopped.set()
    annotator.join()

    stored = {int(row["id"]) for row in rig.admin("GET", "/projects/7/examples")["examples"]}
    assert first | annotator.acknowledged <= stored
    assert len(annotator.acknowledged) > 20
    record = rig.wait_job(job, timeout=500)
    assert record["status"] in ("done", "rejected"), record
    before = project.settle()
    project.annotate(*rows[700])
    wait_until(lambda: project.setup() != before, "the loop still learns")


def ready(rig: Rig) -> bool:
    """Whether /ready says so."""
    try:
        return requests.get(f"{rig.url}/ready", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def stores(rig: Rig) -> bool:
    """Whether labels can be read; /ready is for predictions, which go on without Redis."""
    try:
        return bool(rig.admin("GET", "/projects/7/examples")["examples"])
    except requests.RequestException:
        return False
