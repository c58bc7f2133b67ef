"""A worker: one queue or two a process, jobs in the process itself, JSON only, nothing that is not on the list."""

from __future__ import annotations

import logging
import math
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

import redis
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.utils import now, utcformat
from rq.worker import WorkerStatus
from rq.worker_registration import register

from backend.errors import StoreUnavailable, WorkerStops
from backend.jobs.context import context
from backend.jobs.job_log import account, ids_of
from backend.redaction import hide_secrets
from backend.redis_access.clocks import ClockWatch
from backend.redis_access.connection import connect, guarded
from backend.redis_access.job_kinds import KIND_OF_FUNCTION
from backend.redis_access.job_queue import AllowedJob, ProjectPicker, learn_queue
from backend.redis_access.workers import SILENT_SECONDS
from backend.settings.settings import Settings

log = logging.getLogger(__name__)

WORKER_TTL = 30
"""Seconds after which a silent worker counts as dead: the default of 7 minutes leaves its jobs lying that long."""

DEFAULT_SECONDS = 180
"""RQ's own time limit, for a job that names none."""

BEAT_SECONDS = 15.0
"""Between two signs of life; after SILENT_SECONDS without one a worker counts as dead."""

HOLD_SECONDS = 4.0
"""Between two prolongations of the lease of a project that is worked on."""

AGAIN_SECONDS = 2.0
"""At most between two looks of an idle worker whether Redis is back. RQ's wait grows to a minute, and shrinks only when
a job was taken: after some short outages nothing would be learned for as long."""

LEAVE_SECONDS = 2.0
"""For which the end waits for a beat that hangs."""

AWAY = (redis.ConnectionError, redis.TimeoutError)
"""What redis-py raises while Redis is away."""


class SignsOfLife:
    """A thread that calls `beat`, which may raise StoreUnavailable, until it is stopped; and `hold` more often.

    RQ's own record of a worker whose jobs run in the process itself says nothing until the job is over, so that one
    that was killed amid a training counted as alive for as long as that might have taken."""

    def __init__(
        self, beat: Callable[[], None], hold: Callable[[], None] | None = None, seconds: float = BEAT_SECONDS
    ) -> None:
        self._beat, self._hold, self._seconds = beat, hold or (lambda: None), seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="signs of life", daemon=True)

    def start(self) -> None:
        """The first beat is after BEAT_SECONDS: the worker has just been written down."""
        self._thread.start()

    def stop(self) -> bool:
        """No beat begins after this; whether none goes on either."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(LEAVE_SECONDS)
        return not self._thread.is_alive()

    def _run(self) -> None:
        due = time.monotonic() + self._seconds
        while not self._stop.wait(min(self._seconds, HOLD_SECONDS)):
            with suppress(StoreUnavailable):  # the worker itself says so, and waits
                self._hold()
                if time.monotonic() >= due:
                    due = time.monotonic() + self._seconds
                    self._beat()


class Worker(SimpleWorker):
    """Runs jobs in its own process: no fork (torch hangs in one), and models stay warm between jobs."""

    max_connection_wait_time = AGAIN_SECONDS

    _signs: SignsOfLife | None = None
    _clock: ClockWatch | None = None
    picker: ProjectPicker | None = None
    lost_redis = False
    """Whether it ends because Redis is away: `bury` it, and let another one go on in the same process."""
    _cut: tuple[int, str] | None = None
    """Project and kind of the job that it is in the middle of."""

    def subscribe(self) -> None:
        """RQ's last step before the first job; from here on it shows that it is alive. RQ itself would listen for its
        commands, which nobody sends here, with a thread and a connection."""
        # A connection of its own: the worker's is in the middle of something.
        self._beats = connect(context().settings, binary=True)
        self._signs = SignsOfLife(self.beat, self.picker.renew if self.picker else None)
        self._signs.start()

    def register_death(self) -> None:
        """Takes itself out of the records."""
        if self._signs and self._signs.stop():
            self._beats.close()
        super().register_death()

    def teardown(self) -> None:
        """RQ's last step; leaves no connection to whoever looks for garbage."""
        with suppress(*AWAY):
            super().teardown()
        self.connection.close()
        if self.picker:
            self.picker.close()

    def bury(self) -> None:
        """Redis is back: takes the worker that had lost it out of the records, and lets its project go. Else both would
        wait until it is known to be dead."""
        with suppress(*AWAY, StoreUnavailable):  # it runs out by itself
            super().register_death()
            if self.picker:
                self.picker.let_go()
            self._interrupt()
        self.connection.close()
        if self.picker:
            self.picker.close()

    @contextmanager
    def _leaving_without_redis(self) -> Iterator[None]:
        """RQ ends on a Redis that is away, with a traceback. This ends as it does on request."""
        try:
            yield
        except AWAY as error:
            self.lost_redis = True
            self.executions.clear()
            self._state = WorkerStatus.IDLE  # a signal has nothing to wait for
            log.warning("Redis is away, and what this worker did is left to the next: %s", error)
            raise StopRequested from error

    def check_for_suspension(self, burst: bool) -> None:
        """RQ's first step of each round."""
        with self._leaving_without_redis():
            super().check_for_suspension(burst)

    def run_maintenance_tasks(self) -> None:
        """What RQ does now and then."""
        with self._leaving_without_redis():
            super().run_maintenance_tasks()

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """Waits for the next job."""
        with self._leaving_without_redis():
            return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)

    def execute_job(self, job: Job, queue: Queue) -> None:
        """One job, with its records before and after."""
        with self._leaving_without_redis():
            super().execute_job(job, queue)

    @guarded
    def beat(self) -> None:
        """One sign of life: the record as a whole, which a Redis that was away may have let run out. Raises
        StoreUnavailable."""
        record = {**self.serialize(), "state": self.get_state(), "last_heartbeat": utcformat(now())}
        working = [execution.composite_key for execution in list(self.executions.values())]
        pipeline = self._beats.pipeline(transaction=True)
        pipeline.hset(self.key, mapping={name: str(value or "") for name, value in record.items()})
        pipeline.expire(self.key, SILENT_SECONDS)
        register(self, pipeline)
        if working:
            pipeline.sadd(self.executions_key, *working)
            pipeline.expire(self.executions_key, SILENT_SECONDS)
        pipeline.execute()
        self._clock = self._clock or ClockWatch(self._beats)
        self._clock.poll()

    def heartbeat(self, timeout: int | None = None, pipeline: redis.client.Pipeline | None = None) -> None:
        """As RQ calls it; `timeout`, which it takes from the job's, is what this worker has `beat` for."""
        with suppress(*AWAY):  # whatever comes next says so
            super().heartbeat(SILENT_SECONDS, pipeline)

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        """One job. RQ's time-out is an exception in it, which a library may swallow or never see: then it is killed."""
        limit = float(job.timeout or DEFAULT_SECONDS) + context().settings.job_grace_seconds
        if isinstance(job, AllowedJob):
            job.unwanted = lambda: context().stopping
        self._cut = _attempt_of(job)
        with context().deadline.within(limit), account(context().stores.counters, *_facts(job)) as entry:
            done = bool(super().perform_job(job, queue, execution))
            entry.returned = job.returned if done and isinstance(job, AllowedJob) else None
        if isinstance(job, AllowedJob) and job.cut_off:
            self._give_back(job, queue)
        if isinstance(job, AllowedJob) and job.without_redis:
            self._interrupt()
        if self.picker:
            with suppress(StoreUnavailable):  # it runs out by itself
                self.picker.let_go()
        self._cut = None
        return done

    def _give_back(self, job: AllowedJob, queue: Queue) -> None:
        """What could not be ended in time is nobody's failure, and the next worker's first job."""
        log.warning("%s is given back: this worker ends, and STOP_SECONDS did not suffice", job.func_name)
        self._interrupt()
        with suppress(StoreUnavailable, redis.RedisError):  # the scheduler asks again
            job.give_back(queue)

    def _interrupt(self) -> None:
        """What its job tried has not failed, and need not wait."""
        with suppress(StoreUnavailable):
            if self._cut:
                context().stores.failures.interrupt(*self._cut)

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
        """SIGTERM: a long job sees the flag, and ends in order; one that is not over in time is cut off."""
        context().stop()
        if self.executions:
            own, grace = signal.alarm(0), max(1, math.ceil(context().settings.stop_seconds))
            if not 0 < own <= grace:  # else its own time is over sooner
                signal.signal(signal.SIGALRM, _cut_off)
            signal.alarm(own if 0 < own <= grace else grace)
        super().request_stop(signum, frame)

    def set_shutdown_requested_date(self) -> None:
        """RQ writes it down from within the signal's handler, where no Redis may fail; nobody reads it."""


def _cut_off(signum: int, frame: FrameType | None) -> None:
    raise WorkerStops


def _facts(job: Job) -> tuple[str, Sequence[object], str, object]:
    """Function, arguments, id and the request behind a job; whatever stands in Redis, no exception."""
    try:
        return str(job.func_name), list(job.args), str(job.id), job.meta.get("request")
    except Exception:  # RQ refuses it in a moment, and says why
        return "", [], str(job.id), None


def _attempt_of(job: Job) -> tuple[int, str] | None:
    """(project, kind of job); None where RQ is going to refuse it."""
    function, args, number, _ = _facts(job)
    if (kind := KIND_OF_FUNCTION.get(function)) is None:
        return None
    return int(ids_of(kind.name, args, number)["project"]), kind.name


def build_worker(settings: Settings, name: str, *more: str) -> Worker:
    """A worker that has not begun yet: on the queue `name`, and, while that is empty, on the others in turn.

    Its name is never given twice: RQ refuses a second worker of a name for 90 s, and a container that was killed comes
    back with the same host name and the same process number, 1."""
    client = connect(settings, binary=True, blocking=True)
    own = f"{name}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    picker = ProjectPicker(connect(settings, binary=True), own) if name == "learn" else None
    kind = learn_queue(picker) if picker else Queue
    worker = Worker(
        [kind(it, connection=client, serializer=JSONSerializer, job_class=AllowedJob) for it in (name, *more)],
        name=own,
        queue_class=kind,
        connection=client,
        serializer=JSONSerializer,
        job_class=AllowedJob,
        worker_ttl=WORKER_TTL,
        maintenance_interval=WORKER_TTL,
        log_job_description=False,
    )
    worker.picker = picker
    return worker


def work_until_stopped(
    settings: Settings, queues: Sequence[str], burst: bool, wait_for_redis: Callable[[], None]
) -> None:
    """A worker that has lost Redis is followed by another one: this process has its models in memory, and a new one
    would have to read them first. `burst`: one job at most."""
    with suppress(StopRequested, WorkerStops):  # while it waited for Redis
        while (worker := _work_once(settings, queues, burst)).lost_redis and not (burst or context().stopping):
            wait_for_redis()
            worker.bury()
            log.warning("Redis is back")


def _work_once(settings: Settings, queues: Sequence[str], burst: bool) -> Worker:
    """The worker that has ended."""
    # RQ tells four times of each job what job_log.py counts.
    chatter = "WARNING" if settings.log_level == "INFO" else settings.log_level
    worker = build_worker(settings, *queues)
    try:
        worker.work(burst=burst, max_jobs=1 if burst else None, with_scheduler=False, logging_level=chatter)
    except AWAY:  # before its first job
        worker.lost_redis = True
    return worker
