"""Background work on RQ: JSON only, and nothing runs that is not on the list.

The JSON serializer alone would not do: RQ imports whatever dotted name a job carries, so that whoever can write to
Redis could run `os.system`.
"""

from __future__ import annotations

import math
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b

import rq
from rq.exceptions import DequeueTimeout, NoSuchJobError
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from backend.errors import StoreUnavailable, WorkerStops
from backend.outcomes import JobOutcome
from backend.redis_access.connection import Client, Script, guarded
from backend.redis_access.job_kinds import JOB_KINDS, KIND_OF_FUNCTION
from backend.redis_access.keys import project_key
from backend.settings.settings import Settings
from backend.telemetry.log_context import current_request

FUNCTIONS = {kind.function: kind.queue for kind in JOB_KINDS}
"""Function -> its queue."""

FORMER_NAMES = {kind.former_function: kind.function for kind in JOB_KINDS if kind.former_function}
"""What they were called before they moved into rooms -> now: what was queued before an upgrade runs after it."""


def time_limits(settings: Settings) -> dict[str, int]:
    """Function -> seconds it may take."""
    return {kind.function: max(1, math.ceil(kind.seconds(settings))) for kind in JOB_KINDS}


def call_id(function: str, args: Sequence[object]) -> str:
    """`refit-7-…` for a call that is about project 7: a learner sees by it which one that is (ProjectPicker)."""
    first = args[0] if args and isinstance(args[0], int) else 0
    return f"{KIND_OF_FUNCTION[function].name}-{first}-{secrets.token_hex(8)}"


NOTE_SECONDS = 24 * 3600
"""For which the id of the last call is kept."""

WAITING_STATUSES = frozenset({"created", "ready_to_enqueue", "queued", "scheduled", "deferred", "rate_limited"})


_ORDER = """
-- KEYS: queue    ARGV: jobs. One that a worker has taken is left out.
for _, job in ipairs(ARGV) do
  if redis.call('LREM', KEYS[1], 1, job) > 0 then redis.call('RPUSH', KEYS[1], job) end
end
"""


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

    without_redis = False
    """Redis was away: nobody's failure."""

    def perform(self) -> object:
        """Runs the function."""
        try:
            if self.unwanted():
                raise WorkerStops
            self.returned = super().perform()
        except WorkerStops:
            self.returned, self.cut_off = JobOutcome.STOPPED, True
        except StoreUnavailable:
            self.without_redis = True
            raise
        return self.returned

    def give_back(self, queue: rq.Queue) -> None:
        """Put the same call where the next worker takes it."""
        left = self.retries_left
        queue.enqueue_call(
            str(self.func_name),
            args=list(self.args),
            job_id=call_id(str(self.func_name), self.args),
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
        self._order = Script(client, _ORDER)

    @guarded
    def enqueue(self, function: str, *args: int | str, retries: int = 0) -> str:
        """Queue a call; the RQ job's id."""
        queue = rq.Queue(FUNCTIONS[function], connection=self._redis, serializer=JSONSerializer, job_class=AllowedJob)
        job = queue.enqueue_call(
            function,
            args=list(args),
            job_id=call_id(function, args),
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
    def put_in_order(self, function: str, job_ids: Sequence[str]) -> None:
        """Let workers take these calls, of those that wait, in this order; all others go before them."""
        if len(job_ids) > 1:
            self._order(keys=[f"rq:queue:{FUNCTIONS[function]}"], args=list(job_ids))

    @guarded
    def is_waiting(self, job_id: str) -> bool:
        """Whether RQ still has the call and no worker has begun it."""
        try:
            job = AllowedJob.fetch(job_id, connection=self._redis, serializer=JSONSerializer)
        except NoSuchJobError:
            return False
        return str(getattr(job.get_status(), "value", job.get_status())) in WAITING_STATUSES


# Which of the waiting jobs a learner takes: of a project that no other works on, and rather of one that it knows.
#
# Every project has one learner that it prefers, by a hash that all of them compute alike (rendezvous hashing: when one
# comes or goes, only its own projects move). That one has the project's model and pool in memory. Another takes its
# jobs only while it is busy, or does not come; and whoever has waited two seconds more goes before, so that no project
# starves another. A project is held while it is worked on: two learners would fit the same labels, and one in
# vain.

WINDOW_JOBS = 256
"""Jobs looked at, from the head of the queue."""

STEAL_SECONDS = 0.25
"""For which a job is left to an idle learner that it prefers."""

HEAD_START_SECONDS = 2.0
"""By which jobs of projects that prefer a learner go before others: one that has waited longer than that goes first."""

HELD_SECONDS = 15
"""A project is free again so long after its learner was killed."""

PAUSE_SECONDS = 0.05
"""Between two looks while all that waits is of projects that others hold."""

_TAKE = """
-- KEYS: queue, intermediate queue, the project's lease or nothing    ARGV: job, learner, seconds    Returns 1: taken
if KEYS[3] then
  local held = redis.call('GET', KEYS[3])
  if held and held ~= ARGV[2] then return 0 end
end
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[1])
if KEYS[3] then redis.call('SET', KEYS[3], ARGV[2], 'EX', ARGV[3]) end
return 1
"""

_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"

_RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('EXPIRE', KEYS[1], ARGV[2]) end return 0"


def project_of(job: str) -> int:
    """`refit-7-…` is of project 7; 0 for a call that names none."""
    match = re.match(r"[a-z]+-(\d+)-", job)
    return int(match[1]) if match else 0


def preferred(project: int, learners: Sequence[str]) -> str:
    """The learner that a project prefers; "" without any."""
    return max(learners, key=lambda name: blake2b(f"{project} {name}".encode(), digest_size=8).digest(), default="")


def choose(jobs: Sequence[str], waited: Mapping[str, float], me: str, busy: Mapping[str, bool]) -> list[str]:
    """The jobs that `me` may take, best first. `waited`: seconds that each has been seen to wait; `busy`: of each
    learner alive."""
    ranked: list[tuple[float, int, str]] = []
    for place, job in enumerate(jobs):
        owner = preferred(project_of(job), sorted(busy))
        mine = owner in ("", me) or not project_of(job)
        if mine or busy[owner] or waited[job] >= STEAL_SECONDS:
            ranked.append((-waited[job] - (HEAD_START_SECONDS if mine else 0), place, job))
    return [job for _, _, job in sorted(ranked)]


class ProjectPicker:
    """One learner's choice. `held`: the lease of the project that it works on, "" for none."""

    def __init__(self, client: Client, me: str) -> None:
        self.me, self.held = me, ""
        self._redis = client
        self._take, self._release, self._renew = (Script(client, text) for text in (_TAKE, _RELEASE, _RENEW))
        self._seen: dict[str, float] = {}

    def pick(self, queue: str) -> tuple[str, bool]:
        """(the job taken, "" for none; whether any waits). Raises redis's errors."""
        jobs = [_text(job) for job in self._redis.lrange(queue, 0, WINDOW_JOBS - 1)]
        if not jobs:
            self._seen = {}
            return "", False
        now = time.monotonic()
        self._seen = {job: self._seen.get(job, now) for job in jobs}
        waited = {job: now - since for job, since in self._seen.items()}
        for job in choose(jobs, waited, self.me, self._learners()):
            project = project_of(job)
            lease = [project_key(project, "learner")] if project else []
            keys = [queue, IntermediateQueue.get_intermediate_queue_key(queue), *lease]
            if self._take(keys=keys, args=[job, self.me, HELD_SECONDS]):
                self.held = lease[0] if lease else ""
                return job, True
        return "", True

    @guarded
    def renew(self) -> None:
        """Holds on. Raises StoreUnavailable."""
        if held := self.held:
            self._renew(keys=[held], args=[self.me, HELD_SECONDS])

    @guarded
    def let_go(self) -> None:
        """The job is over. Raises StoreUnavailable."""
        held, self.held = self.held, ""
        if held:
            self._release(keys=[held], args=[self.me])

    def close(self) -> None:
        """Its connection, which it alone has."""
        self._redis.close()

    def _learners(self) -> dict[str, bool]:
        """Those alive, this one among them, and whether each is busy."""
        keys = sorted(_text(key) for key in self._redis.smembers(WORKERS_BY_QUEUE_KEY % "learn"))
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys:
            pipeline.hget(key, "state")
        states = zip(keys, pipeline.execute() if keys else [], strict=True)
        found = {key.removeprefix("rq:worker:"): _text(state) == "busy" for key, state in states if state}
        return {**found, self.me: False}


def learn_queue(picker: ProjectPicker) -> type[rq.Queue]:
    """RQ's queue, whose next job the picker chooses."""

    class LearnQueue(rq.Queue):
        """The queue `learn`."""

        @classmethod
        def lmove(cls, connection: Client, queue_key: str, timeout: int | None) -> tuple[str, str] | None:
            """The next job, moved into the intermediate queue. Raises DequeueTimeout."""
            until = time.monotonic() + (timeout or 0)
            while True:
                job, waits = picker.pick(queue_key)
                if job:
                    return queue_key, job
                left = until - time.monotonic()
                if timeout is None:
                    return None
                if left <= 0:
                    raise DequeueTimeout(timeout, queue_key)
                if waits:
                    time.sleep(min(PAUSE_SECONDS, left))
                else:  # from the head to the head: waits for a job, and takes none
                    connection.blmove(queue_key, queue_key, max(0.01, left), "LEFT", "LEFT")

    return LearnQueue


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
