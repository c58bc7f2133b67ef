"""Whether anything has happened: a short text that changes when what is shown of a project does. One round trip."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from backend.redis_access.connection import Client, guarded
from backend.redis_access.keys import PROJECTS, job_key, project_key

COUNTED = ("evidence", "surveys", "hist", "jobs")
READ = ("live", "pinned", "seq", "trained", "job", "evaluated")
HASHES = ("queue", "trouble", "predict", "predict:shards", "rejects")


@guarded
def news_of_project(client: Client, project: int, job: str = "") -> str:
    """Changes with labels, versions, evidence, the queue, failures, runs and each step of a training. `job`: the one
    that was running when this was asked last; its record is read in the same round trip."""
    pipeline = client.pipeline(transaction=False)
    for name in READ:
        pipeline.get(project_key(project, name))
    for name in COUNTED:
        pipeline.llen(project_key(project, name))
    for name in HASHES:
        pipeline.hgetall(project_key(project, name))
    pipeline.hmget(project_key(project, "meta"), "sync", "dirty", "title")
    if job:
        pipeline.hgetall(job_key(job))
    found = pipeline.execute()
    running = found[READ.index("job")]
    if running and running != job:
        found.append(client.hgetall(job_key(running)))
    return _digest(found)


@guarded
def news_of_projects(client: Client, projects: Sequence[int]) -> str:
    """The same of all of them, less of each."""
    pipeline = client.pipeline(transaction=False)
    pipeline.scard(PROJECTS)
    for project in projects:
        for name in ("live", "seq", "job"):
            pipeline.get(project_key(project, name))
        pipeline.llen(project_key(project, "evidence"))
        pipeline.hlen(project_key(project, "trouble"))
    return _digest(pipeline.execute())


def _digest(replies: Sequence[object]) -> str:
    return hashlib.sha256(repr(replies).encode()).hexdigest()[:20]
