"""Whether anything has happened: a short text that changes when what is shown of a project does. One round trip."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence

from backend.redis_access.connection import Client, guarded
from backend.redis_access.job_kinds import KIND_OF_NAME
from backend.redis_access.keys import AUDIT, EXAMINING, FINDINGS, PROJECTS, TALLIES, job_key, project_key
from backend.redis_access.workers import QUEUES

COUNTED = ("evidence", "surveys", "hist", "jobs")
READ = ("live", "pinned", "seq", "trained", "job", "evaluated")
TRAININGS_WAITING, TRAININGS_RUNNING = "rq:queue:train", "rq:wip:train"
"""RQ's own keys."""

MEASURED_SECONDS = 10
"""How old what is measured on the page of the installation may be."""

HASHES = ("queue", "trouble", "predict", "predict:shards", "files", "files:sums", "export", "rejects", "hunts")

TAUGHT = ("id", "status", "next", "bad", "requests", "message")
"""Of the run that asks a teacher, which also holds the tasks of its texts."""


@guarded
def news_of_project(client: Client, project: int, job: str = "") -> str:
    """Changes with labels, versions, evidence, the queue, failures, runs and each step of a training; "" of a project
    that is not known. `job`: the one that was running when this was asked last; its record is read in the same round
    trip."""
    pipeline = client.pipeline(transaction=False)
    pipeline.sismember(PROJECTS, project)
    for name in READ:
        pipeline.get(project_key(project, name))
    for name in COUNTED:
        pipeline.llen(project_key(project, name))
    for name in HASHES:
        pipeline.hgetall(project_key(project, name))
    pipeline.hmget(project_key(project, "meta"), "sync", "dirty", "title")
    pipeline.hmget(project_key(project, "cfg"), "encoder", "encoder_wish")
    pipeline.hmget(project_key(project, "teacher"), *TAUGHT)
    pipeline.hget(FINDINGS, str(project))
    if job:
        pipeline.hgetall(job_key(job))
    known, *found = pipeline.execute()
    if not known:
        return ""
    running = found[READ.index("job")]
    if running and running != job:
        found.append(client.hgetall(job_key(running)))
    return _digest(found)


@guarded
def news_of_projects(client: Client, changes: int) -> str:
    """The same of all of them, however many there are: changes with labels, of which this process has stored so many
    `changes`, with everything that a background job ends with, with trainings that wait and run, and with what an admin
    does."""
    pipeline = client.pipeline(transaction=False)
    pipeline.scard(PROJECTS)
    pipeline.hmget(TALLIES, [f"seconds|{name}" for name in KIND_OF_NAME])
    pipeline.llen(TRAININGS_WAITING)
    pipeline.zcard(TRAININGS_RUNNING)
    pipeline.xrevrange(AUDIT, count=1)
    return _digest([changes, *pipeline.execute()])


@guarded
def news_of_installation(client: Client) -> str:
    """Changes with every job that waits, begins or ends, with what the doctor finds and what admins do; and every
    MEASURED_SECONDS, since memory and disk tell nobody."""
    pipeline = client.pipeline(transaction=False)
    pipeline.hgetall(TALLIES)
    for queue in QUEUES:
        pipeline.llen(f"rq:queue:{queue}")
        pipeline.scard(f"rq:workers:{queue}")
    pipeline.hget(FINDINGS, "0")
    pipeline.exists(f"{EXAMINING}0")
    pipeline.xrevrange(AUDIT, count=1)
    return _digest([int(time.time() / MEASURED_SECONDS), *pipeline.execute()])


def _digest(replies: Sequence[object]) -> str:
    return hashlib.sha256(repr(replies).encode()).hexdigest()[:20]
