"""Learners at work on many projects: how many refits they do, and how long a quiet project waits beside a flooding one.

`python -m tests.support.learners [--projects 200] [--learners 1 2]`: real learners on a Redis of their own, in the
order in which projects ask. What a refit costs is not measured here but set, as seconds of sleep: the order in which
learners take projects is, whatever the cores of this machine do besides.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from backend.settings.settings import Settings
from backend.store.stores import Stores
from tests.support.rig import choices_config

QUIET, FLOODING = 1, 2
"""The projects that are looked at; the others take part in the load."""

LEARNER = """
import sys, time
from backend.jobs.context import context
from backend.jobs.learn import refit
from backend.workers.worker import build_worker
flooding, heavy, light = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
known = set()
def learn(work, project):
    time.sleep(heavy if project == flooding else light)
    seq = work.stores.examples.seq(project)
    work.stores._redis.rpush("measured", f"{project} {time.time()} {int(project in known)}")
    known.add(project)
    work.stores.versions.note_fitted(project, seq)
    return "unchanged"
refit.learn = learn
build_worker(context().settings, "learn").work(logging_level="WARNING")
"""


@dataclass(frozen=True)
class Measured:
    """`refits_a_second` of `projects` that all ask at once; milliseconds from an asked refit of the quiet project to
    its end, beside one that asks all the time and whose refits take `heavy_ms`; `warm`: the share of refits by a
    learner that had the project before."""

    learners: int
    projects: int
    refits_a_second: float
    quiet_p50_ms: float
    quiet_p99_ms: float
    heavy_ms: float
    light_ms: float
    warm: float


def measure(settings: Settings, learners: int, projects: int, *, heavy: float, light: float, asks: int) -> Measured:
    """With an empty Redis of its own."""
    stores = Stores(settings)
    stores._redis.flushall()
    for project in range(1, projects + 1):
        stores.projects.save_config(project, choices_config(["a", "b"]))
    environment = {"REDIS_URL": settings.effective_redis_url, "DATA_DIR": str(settings.data_dir), "ADMIN_TOKEN": "x"}
    command = [sys.executable, "-c", LEARNER, str(FLOODING), str(heavy), str(light)]
    workers = [subprocess.Popen(command, env={**os.environ, **environment}) for _ in range(learners)]
    try:
        while stores._redis.scard("rq:workers:learn") < learners:
            time.sleep(0.05)
        time.sleep(1.0)
        for _ in range(2):  # the second round shows who has had a project before
            began, done = time.time(), stores._redis.llen("measured")
            for project in range(1, projects + 1):
                _ask(stores, project)
            rows = _wait(stores, done + projects)
        rate = projects / (float(rows[-1][1]) - began)
        warm = float(np.mean([int(row[2]) for row in rows[-projects:]]))
        waits = [_ask_quiet(stores) for _ in range(asks)]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
        stores.close()
    p50, p99 = (1000 * float(np.percentile(waits, share)) for share in (50, 99))
    return Measured(learners, projects, rate, p50, p99, 1000 * heavy, 1000 * light, warm)


def _ask(stores: Stores, project: int) -> None:
    stores._redis.delete(f"understudy:{{p{project}}}:refit")
    stores.jobs.enqueue_refit(project)


def _wait(stores: Stores, count: int) -> list[list[str]]:
    while stores._redis.llen("measured") < count:
        time.sleep(0.005)
    return [str(row).split() for row in stores._redis.lrange("measured", 0, -1)]


def _ask_quiet(stores: Stores) -> float:
    """Seconds from asking to the end of the quiet project's refit, while the flooding one asks every few hundredths."""
    began, seen = time.time(), int(stores._redis.llen("measured"))
    for _ in range(3):
        _ask(stores, FLOODING)
    _ask(stores, QUIET)
    while True:
        for row in stores._redis.lrange("measured", seen, -1):
            project, at, _ = str(row).split()
            if int(project) == QUIET:
                return float(at) - began
        _ask(stores, FLOODING)
        time.sleep(0.02)


def main() -> None:
    """Prints one JSON object a line."""
    from tests.conftest import running_redis

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--projects", type=int, default=200)
    parser.add_argument("--learners", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--heavy", type=float, default=1.0, help="seconds of a refit of the flooding project")
    parser.add_argument("--light", type=float, default=0.05, help="seconds of any other refit")
    parser.add_argument("--asks", type=int, default=40)
    given = parser.parse_args()
    for learners in given.learners:
        with running_redis() as server:
            options: dict[str, Any] = {"heavy": given.heavy, "light": given.light, "asks": given.asks}
            print(json.dumps(asdict(measure(server.settings, learners, given.projects, **options))), flush=True)


if __name__ == "__main__":
    main()
