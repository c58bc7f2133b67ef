"""Row 38: what hangs in C, deaf to signals, is killed from outside; and one project's poison is not the others'."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from backend.jobs.train.process import run_process
from backend.settings.settings import Settings, environment_of
from backend.supervision.delayed_start import http_answers
from backend.supervision.heartbeat import DEADLINES_FOLDER
from backend.supervision.watchdog import Watchdog
from tests.faults.test_trainings import wait_until
from tests.support.rig import Project, Rig, free_port
from tests.support.tiny import PROJECT, Letters, armed, letters, log_of, run_apart, settings, tiny_base  # noqa: F401

PATIENCE = 120.0


def work_off(settings: Settings, queue: str) -> None:
    """The worker of a queue, until the queue is empty."""
    from rq import Queue
    from rq.serializers import JSONSerializer

    from backend.redis_access.connection import connect
    from backend.redis_access.job_queue import AllowedJob
    from backend.workers.worker import Worker

    client = connect(settings, binary=True, blocking=True)
    given: dict[str, Any] = {"connection": client, "serializer": JSONSerializer, "job_class": AllowedJob}
    Worker([Queue(queue, **given)], **given).work(burst=True, with_scheduler=False)


@pytest.mark.parametrize(("queue", "step"), [("learn", "hang:refit.begin"), ("sync", "hang:sync.begin")])
def test_row_38_a_job_that_hangs_in_c_is_ended_at_its_deadline(
    context: Any, letters: Letters, queue: str, step: str
) -> None:
    limits = {"refit_timeout_seconds": 1.0, "sync_timeout_minutes": 1 / 60, "job_grace_seconds": 0.2}
    given = armed(context.settings.model_copy(update=limits), step)
    from backend.store.stores import Stores

    stores = Stores(given)
    if queue == "learn":
        stores.jobs.enqueue_refit(PROJECT)
    else:
        stores.jobs.enqueue_sync(PROJECT)
    assert run_apart(work_off, given, queue) == 1
    assert "_hang" in log_of(given).read_text(), "the log says where"
    kind = "refit" if queue == "learn" else "sync"
    assert stores.failures.begin(PROJECT, kind) == 0 and stores.failures.describe(PROJECT)[kind]["failures"] == 1
    stores.close()


def test_row_38_a_training_that_hangs_is_killed_by_its_trainer(context: Any, tmp_path: Path) -> None:
    given = context.settings.model_copy(update={"finetune_stall_minutes": 1 / 60, "failpoint": "hang:training.begin"})
    ending = run_process(given, tmp_path, lambda said: None)
    assert ending.crashed and "FINETUNE_STALL_MINUTES" in ending.error


IMPATIENT = """
import backend.processes.web
from backend.settings.settings import load_settings
backend.processes.web.HANGS_AFTER = 2
backend.processes.web.run_web(load_settings())
"""


@pytest.mark.timeout(120)
def test_row_38_a_web_worker_that_stands_still_is_killed_by_its_master_and_another_one_answers(
    settings: Settings,
) -> None:
    port = free_port()
    given = environment_of(settings.model_copy(update={"port": port}))
    with subprocess.Popen([sys.executable, "-c", IMPATIENT], env=given) as master:
        try:
            wait_until(lambda: http_answers("127.0.0.1", port), "the web process")
            [worker] = psutil.Process(master.pid).children()
            worker.suspend()
            assert not http_answers("127.0.0.1", port)
            wait_until(lambda: http_answers("127.0.0.1", port), "another worker", seconds=60)
            [other] = psutil.Process(master.pid).children()
            assert other.pid != worker.pid
        finally:
            master.terminate()


STANDS_STILL = """
import os, signal, sys
from pathlib import Path
from backend.supervision.heartbeat import Deadline
Deadline(Path(sys.argv[1])).keep(float(sys.argv[2]))
print("stands", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_row_38_a_process_that_stands_still_is_killed_by_the_supervisor(tmp_path: Path) -> None:
    def start(seconds: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", STANDS_STILL, str(tmp_path), seconds]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline() == "stands\n"
        return process

    children: list[int] = []
    watchdog = Watchdog(tmp_path / DEADLINES_FOLDER, lambda: children)
    with start("0") as late, start("600") as fine, start("0") as foreign:
        children += [late.pid, fine.pid]
        assert watchdog.kill_late() == [late.pid] and watchdog.kill_late() == []
        assert late.wait(30) == -signal.SIGKILL
        assert fine.poll() is None and foreign.poll() is None, "in time, and not a child"
        for process in (fine, foreign):
            os.kill(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def poisoned(tiny_base: Path) -> Iterator[Rig]:
    """The whole product, in which the refits of project 7 hang."""
    limits = {"REFIT_TIMEOUT_SECONDS": "4", "JOB_GRACE_SECONDS": "0.5", "SCHEDULER_SECONDS": "0.3"}
    with Rig(timed=True, BASE_MODEL=str(tiny_base), FAILPOINT="hang:refit.begin@7", **limits) as rig:
        yield rig


@pytest.mark.long
@pytest.mark.timeout(300)
def test_row_38_a_project_whose_refits_hang_waits_and_says_so_while_another_one_learns(poisoned: Rig) -> None:
    projects = [Project(poisoned, number, ["a", "e"]) for number in (7, 8)]
    for project in projects:
        project.setup()
        project.annotate_many([("a b c", "a"), ("e f g", "e"), ("b c d", "a"), ("f g h", "e")])
    deadline = time.monotonic() + PATIENCE
    while not (learned(poisoned, 8) and trouble(poisoned, 7)):
        assert time.monotonic() < deadline, poisoned.admin("GET", "/projects/7")
        time.sleep(0.2)
    assert not learned(poisoned, 7)
    assert "died or was killed" in trouble(poisoned, 7)["error"] and "retry_in" in trouble(poisoned, 7)
    projects[1].annotate("g h e", "e")
    while poisoned.admin("GET", "/projects/8")["pending"]:
        assert time.monotonic() < deadline, "it learns no more"
        time.sleep(0.2)
    stored = {int(row["id"]) for row in poisoned.admin("GET", "/projects/7/examples")["examples"]}
    assert len(stored) == 4, "nothing that was acknowledged is lost"


def learned(rig: Rig, project: int) -> bool:
    return str(rig.admin("GET", f"/projects/{project}")["live"]) != "v0"


def trouble(rig: Rig, project: int) -> dict[str, Any]:
    return dict(rig.admin("GET", f"/projects/{project}")["trouble"].get("refit", {}))
