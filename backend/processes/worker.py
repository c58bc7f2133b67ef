"""The RQ workers: one queue a process, jobs in the process itself, JSON only, nothing that is not on the list."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

import redis
from rq import Queue, SimpleWorker
from rq.executions import Execution
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from backend.cpu import use_one_thread
from backend.errors import StoreUnavailable
from backend.jobs.context import Context, context
from backend.jobs.job_log import account
from backend.redaction import hide_secrets
from backend.redis_access.connection import connect
from backend.redis_access.job_queue import AllowedJob
from backend.settings.settings import Settings
from backend.store.stores import Stores
from backend.telemetry.logs import configure_logs

log = logging.getLogger(__name__)

WORKER_TTL = 30
"""Seconds after which a silent worker counts as dead: the default of 7 minutes leaves its jobs lying that long."""

DEFAULT_SECONDS = 180
"""RQ's own time limit, for a job that names none."""


class Worker(SimpleWorker):
    """Runs jobs in its own process: no fork (torch hangs in one), and models stay warm between jobs."""

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        """One job. RQ's time-out is an exception in it, which a library may swallow or never see: then it is killed."""
        limit = float(job.timeout or DEFAULT_SECONDS) + context().settings.job_grace_seconds
        with context().deadline.within(limit), account(context().stores.counters, *_facts(job)) as entry:
            done = bool(super().perform_job(job, queue, execution))
            entry.returned = job.returned if done and isinstance(job, AllowedJob) else None
        return done

    def _set_ip_address(self, connection: redis.Redis) -> None:
        """RQ asks Redis for it, and nobody reads it. redis-py cannot parse the answer where the address is the path of
        a unix socket with a blank or `=` in it: the worker would not start."""
        self.ip_address = "unknown"
        with suppress(redis.ResponseError):  # a user who may not
            connection.client_setname(self.name)

    def handle_job_failure(
        self,
        job: Job,
        queue: Queue,
        started_job_registry: StartedJobRegistry | None = None,
        exc_string: str = "",
        execution: Execution | None = None,
    ) -> None:
        """RQ keeps the traceback in Redis: without secrets."""
        super().handle_job_failure(job, queue, started_job_registry, hide_secrets(exc_string), execution)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """SIGTERM: a long job sees the flag, and ends in order."""
        context().stopping = True
        super().request_stop(signum, frame)


def _facts(job: Job) -> tuple[str, Sequence[object], str, object]:
    """Function, arguments, id and the request behind a job; whatever stands in Redis, no exception."""
    try:
        return str(job.func_name), list(job.args), str(job.id), job.meta.get("request")
    except Exception:  # RQ refuses it in a moment, and says why
        return "", [], str(job.id), None


def run_learner(settings: Settings) -> None:
    """Refits heads, with a warm encoder."""
    configure_logs(settings, "learner")
    work = _open()
    from model.head.warm_up import warm_up_learning

    warm_up_learning(work.encoders.base)
    use_one_thread()
    _work(settings, "learn")


def run_trainer(settings: Settings) -> None:
    """Fine-tunes; this process itself never runs torch."""
    configure_logs(settings, "trainer")
    _open()
    _work(settings, "train")


def run_sync(settings: Settings) -> None:
    """Talks to Label Studio's API."""
    configure_logs(settings, "sync")
    _open()
    _work(settings, "sync", "predict")


def _open() -> Context:
    """The process's context once Redis answers and is safe. Raises StoreUnavailable for an unsafe one."""
    work = context()
    wait_for_redis(work.stores)
    return work


def wait_for_redis(stores: Stores, pause: float = 0.2) -> None:
    """Returns when Redis answers. Raises StoreUnavailable when its settings could lose labels."""
    while True:
        try:
            stores.ping()
        except StoreUnavailable:
            time.sleep(pause)
            continue
        for problem in stores.verify():
            log.warning("redis: %s", problem)
        return


def _work(settings: Settings, *queues: str) -> None:
    # RQ tells four times of each job what job_log.py counts.
    chatter = "WARNING" if settings.log_level == "INFO" else settings.log_level
    build_worker(settings, *queues).work(with_scheduler=False, logging_level=chatter)


def build_worker(settings: Settings, name: str, *more: str) -> Worker:
    """A worker that has not begun yet: on the queue `name`, and, while that is empty, on the others in turn.

    Its name is never given twice: RQ refuses a second worker of a name for 90 s, and a container that was killed comes
    back with the same host name and the same process number, 1."""
    client = connect(settings, binary=True, blocking=True)
    return Worker(
        [Queue(it, connection=client, serializer=JSONSerializer, job_class=AllowedJob) for it in (name, *more)],
        name=f"{name}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}",
        connection=client,
        serializer=JSONSerializer,
        job_class=AllowedJob,
        worker_ttl=WORKER_TTL,
        maintenance_interval=WORKER_TTL,
        log_job_description=False,
    )
