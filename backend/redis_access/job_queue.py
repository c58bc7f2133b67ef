"""Background work on RQ: JSON only, and nothing runs that is not on the list.

The JSON serializer alone would not do: RQ imports whatever dotted name a job carries, so that whoever can write to
Redis could run `os.system`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import rq
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer

from backend.errors import WorkerStops
from backend.outcomes import JobOutcome
from backend.redis_access.connection import Client, guarded
from backend.redis_access.job_kinds import JOB_KINDS
from backend.settings.settings import Settings
from backend.telemetry.log_context import current_request

FUNCTIONS = {kind.function: kind.queue for kind in JOB_KINDS}
"""Function -> its queue."""

FORMER_NAMES = {kind.former_function: kind.function for kind in JOB_KINDS if kind.former_function}
"""What they were called before they moved into rooms -> now: what was queued before an upgrade runs after it."""


def time_limits(settings: Settings) -> dict[str, int]:
    """Function -> seconds it may take."""
    return {kind.function: max(1, math.ceil(kind.seconds(settings))) for kind in JOB_KINDS}


NOTE_SECONDS = 24 * 3600
"""For which the id of the last call is kept."""

WAITING_STATUSES = frozenset({"created", "ready_to_enqueue", "queued", "scheduled", "deferred", "rate_limited"})


class ForbiddenJob(Exception):
    """A job names a function or a callback that is not on the list."""


class AllowedJob(Job):
    """A job that only ever runs a function of FUNCTIONS, with no callback."""

    returned: object = None
    """What the function returned; None when it has not, or an exception came."""

    unwanted: Callable[[], bool] = staticmethod(lambda: False)
    """Whether the worker that has taken it is to end, so that it must not begin."""

    cut_off = False
    """The worker is to end, and the job was not done in time: somebody else has to do it from the start."""

    def perform(self) -> object:
        """Runs the function."""
        try:
            if self.unwanted():
                raise WorkerStops
            self.returned = super().perform()
        except WorkerStops:
            self.returned, self.cut_off = JobOutcome.STOPPED, True
        return self.returned

    def give_back(self, queue: rq.Queue) -> None:
        """Put the same call where the next worker takes it."""
        left = self.retries_left
        queue.enqueue_call(
            str(self.func_name),
            args=list(self.args),
            timeout=int(self.timeout) if self.timeout else None,
            result_ttl=self.result_ttl,
            failure_ttl=self.failure_ttl,
            meta=self.meta,
            retry=rq.Retry(max=left) if left else None,
            at_front=True,
        )

    @property
    def func_name(self) -> str | None:
        """The function's name of this release."""
        name = super().func_name
        return FORMER_NAMES.get(name, name) if isinstance(name, str) else name

    @func_name.setter
    def func_name(self, name: str) -> None:
        self._func_name = name

    @property
    def func(self) -> Callable[..., object] | None:
        if self.func_name not in FUNCTIONS or self.instance is not None:
            raise ForbiddenJob(f"{str(self.func_name)[:80]!r} is not a function that may be queued")
        return super().func

    @property
    def success_callback(self) -> None:
        return self._no_callback(self._success_callback_name)

    @property
    def failure_callback(self) -> None:
        return self._no_callback(self._failure_callback_name)

    @property
    def stopped_callback(self) -> None:
        return self._no_callback(self._stopped_callback_name)

    @staticmethod
    def _no_callback(name: str | None) -> None:
        """Callbacks are never used here: one that is named was forged, and does not run."""


class JobQueue:
    """Enqueues by function name. `client` must be a binary connection; `limits` as `time_limits` gives them."""

    def __init__(self, client: Client, limits: Mapping[str, int]) -> None:
        self._redis, self._limits = client, limits

    @guarded
    def enqueue(self, function: str, *args: int | str, retries: int = 0) -> str:
        """Queue a call; the RQ job's id."""
        queue = rq.Queue(FUNCTIONS[function], connection=self._redis, serializer=JSONSerializer, job_class=AllowedJob)
        job = queue.enqueue_call(
            function,
            args=list(args),
            timeout=self._limits[function],
            result_ttl=60,
            failure_ttl=24 * 3600,
            meta={"request": request} if (request := current_request()) else None,
            retry=rq.Retry(max=retries) if retries else None,  # at once: waiting would need RQ's scheduler process
        )
        return str(job.id)

    @guarded
    def length(self, function: str) -> int:
        """Calls that wait in the queue of `function`."""
        return int(rq.Queue(FUNCTIONS[function], connection=self._redis, serializer=JSONSerializer).count)

    @guarded
    def enqueue_once(self, note: str, function: str, *args: int | str, retries: int = 0) -> bool:
        """Queue a call; False while the last one that the key `note` names stands in the queue: however far a worker is
        behind, one waits. (A job that a dead worker had taken still says of itself that it waits.)"""
        queue = rq.Queue(FUNCTIONS[function], connection=self._redis, serializer=JSONSerializer)
        last = self._redis.get(note)
        if last is not None and self._redis.lpos(queue.key, last) is not None:
            return False
        self._redis.set(note, self.enqueue(function, *args, retries=retries), ex=NOTE_SECONDS)
        return True

    @guarded
    def is_waiting(self, job_id: str) -> bool:
        """Whether RQ still has the call and no worker has begun it."""
        try:
            job = AllowedJob.fetch(job_id, connection=self._redis, serializer=JSONSerializer)
        except NoSuchJobError:
            return False
        return str(getattr(job.get_status(), "value", job.get_status())) in WAITING_STATUSES
