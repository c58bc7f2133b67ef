"""Trainings as people see them, and the flags that keep background work from piling up.

A training's record is ours, not RQ's: it outlives the queue, which only carries it. One training a project at a time.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import cast

from backend.errors import Conflict, NotFound
from backend.outcomes import FINAL_STATES, JobOutcome
from backend.record_json import JobRecord
from backend.redaction import hide_secrets
from backend.redis_access.connection import Client, Script, guarded
from backend.redis_access.job_kinds import REFIT, SYNC, TRAIN
from backend.redis_access.job_queue import JobQueue
from backend.redis_access.keys import job_key, project_key
from backend.redis_access.leases import Leases
from backend.redis_access.staleness import Staleness
from backend.store.outbox.event import NOTHING, Event, refused, training_failed
from backend.store.outbox.outbox import TELL

TRAINING_ATTEMPTS = 5
"""Times a training is begun before it counts as failed."""

TOLD = (JobOutcome.FAILED, JobOutcome.REJECTED)
"""How a training ends that outgoing events tell of; of one that is published publish.lua tells."""

KEPT_SECONDS = 30 * 24 * 3600
RECENT_TRAININGS = 50
FLAG_SECONDS = 30
"""After this time a refit or reconciliation that never began is asked for again."""

BEAT_SECONDS = 20
"""A running training shows a sign of life every second; after this long without one its worker is dead."""

SENT_SECONDS = 5
"""A training that was sent is in RQ's hands after this long, or was lost on the way."""

MESSAGE_CHARACTERS = 500

_REQUEST = """
local running = redis.call('GET', KEYS[1])
if running then return running end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('LPUSH', KEYS[2], ARGV[1])
redis.call('LTRIM', KEYS[2], 0, ARGV[2])
return ARGV[1]
"""

_IS_ALIVE = """
local over = {done = true, rejected = true, failed = true, cancelled = true}
local status = redis.call('HGET', KEYS[1], 'status')
local alive = status and not over[status]
"""

_BEGIN = f"""
-- KEYS: job, fence    ARGV: job, now    Returns the attempt's number; 0 for a training that is over or gone.
{_IS_ALIVE}
if not alive then return 0 end
local attempt = redis.call('HINCRBY', KEYS[1], 'attempts', 1)
redis.call('HSET', KEYS[1], 'status', 'running', 'started_at', ARGV[2], 'beat', ARGV[2])
redis.call('HDEL', KEYS[1], 'stage')
redis.call('SET', KEYS[2], ARGV[1] .. '/' .. attempt)
return attempt
"""

_WRITE = f"""
-- KEYS: job, then those of the outbox
-- ARGV: attempt ("" for whoever), time to live, values to set, an event's id, body and how many are kept, then so many
--   pairs, then names to delete
{TELL}
{_IS_ALIVE}
if ARGV[1] ~= '' and not (alive and redis.call('HGET', KEYS[1], 'attempts') == ARGV[1]) then return 0 end
tell(2, ARGV[4], ARGV[5], ARGV[6])
local last = 6 + 2 * tonumber(ARGV[3])
for i = 7, last, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
for i = last + 1, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""

_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


def count_deaths(record: JobRecord) -> int:
    """Attempts at a training that did not end in order, the one that runs included."""
    return int(record.get("attempts", 0)) - int(record.get("stops", 0))


Fields = Mapping[str, str | float | None]
"""Of a record, to be changed; None removes one."""


class JobStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client, queue: JobQueue, outbox: Sequence[str] = ()) -> None:
        """`outbox`: keys of what is told outside."""
        self._redis, self._queue, self._outbox = client, queue, outbox
        self._request = Script(client, _REQUEST)
        self._release = Script(client, _RELEASE)
        self._leases, self.still = Leases(client), Staleness()
        self._begin, self._write = Script(client, _BEGIN), Script(client, _WRITE)

    @guarded
    def request_training(self, project: int, by: str, force: bool = False) -> tuple[JobRecord, bool]:
        """(record, whether it is new): of the training that is queued or running already, when there is one.

        `force`: an admin asks, so that it also runs when nothing has changed."""
        job = f"train-{project}-{secrets.token_hex(5)}"
        # A rollback from now on is news to whoever asks: only the pin of this moment may be lifted.
        lifts = (self._redis.get(project_key(project, "pinned")) if force else None) or ""
        asked: Fields = {"id": job, "project": project, "status": "queued", "by": by}
        self.update(job, {**asked, "asked_at": time.time(), "force": int(force), "attempts": 0, "lifts": lifts})
        keys = [project_key(project, "job"), project_key(project, "jobs")]
        winner = str(self._request(keys=keys, args=[job, RECENT_TRAININGS]))
        if winner != job:
            self._redis.delete(job_key(job))
            found = self.find(winner)
            if found and found["status"] not in FINAL_STATES:
                return found, False
            self._release(keys=keys[:1], args=[winner])  # its record is gone or over: a crash at the very end
            return self.request_training(project, by, force)
        self.send(job)
        return self.get(job), True

    @guarded
    def send(self, job: str) -> None:
        """Hand a training to the trainer."""
        self.update(job, {"status": "queued", "sent_at": time.time(), "beat": None})
        self.update(job, {"rq": self._queue.enqueue(TRAIN, job)})

    @guarded
    def put_in_order(self, places: Sequence[tuple[JobRecord, str]]) -> None:
        """Let the trainer take these, which wait, in this order, and say of each which it is, and why."""
        self._queue.put_in_order(TRAIN, [str(record.get("rq")) for record, _ in places])
        for number, (record, why) in enumerate(places, 1):
            stage = f"waits as {number} of {len(places)}: {why}"
            if record.get("stage") != stage and self._redis.hget(job_key(record["id"]), "status") == "queued":
                self._redis.hset(job_key(record["id"]), "stage", stage)

    def is_lost(self, record: JobRecord) -> bool:
        """Whether a training that should be queued or running is neither: its worker was killed, or RQ lost it. Found
        by looking again and again: no clock counts but this process's own."""
        if record["status"] in FINAL_STATES:
            return False
        running = record["status"] == "running"
        shown = f"{record.get('attempts')} {record.get('beat')}" if running else f"{record.get('sent_at')}"
        still = self.still.seconds(str(record["id"]), shown)
        if running:
            return still > BEAT_SECONDS
        return still > SENT_SECONDS and not self._queue.is_waiting(str(record.get("rq")))

    @guarded
    def find(self, job: str) -> JobRecord | None:
        """A training's record, None for an unknown one."""
        fields = self._redis.hgetall(job_key(job))
        read = {name: _number(text) if name in _NUMBERS else text for name, text in fields.items()}
        return cast(JobRecord, read) if read else None

    def get(self, job: str) -> JobRecord:
        """A training's record. Raises NotFound."""
        record = self.find(job) if len(job) < 100 else None
        if record is None or "status" not in record:
            raise NotFound(f"there is no job {job[:100]!r}", job=job[:100])
        record["metric"] = {"loss": record.pop("loss")} if "loss" in record else None
        return record

    @guarded
    def begin(self, job: str, project: int) -> int:
        """An attempt at a training begins: its number, which fences off all earlier ones. 0: it is over."""
        keys = [job_key(job), project_key(project, "fence")]
        return int(self._begin(keys=keys, args=[job, time.time()]))

    @guarded
    def update(self, job: str, fields: Fields, attempt: int | None = None) -> bool:
        """Change fields of a record; None removes one. A job that is over lets go of its project. That it failed or was
        refused is told outside.

        `attempt`: who writes. False, and nothing changes, when a later attempt has begun or the job is over."""
        kept = [part for name, value in fields.items() if value is not None for part in (name, _shown(name, value))]
        gone = [name for name, value in fields.items() if value is None]
        who = "" if attempt is None else attempt
        event = self._event_of(job, fields) if self._outbox and fields.get("status") in TOLD else None
        told = event.arguments if event is not None else NOTHING
        arguments = [who, KEPT_SECONDS, len(kept) // 2, *told, *kept, *gone]
        if not self._write(keys=[job_key(job), *self._outbox], args=arguments):
            return False
        if fields.get("status") in FINAL_STATES:
            project = self._redis.hget(job_key(job), "project")
            self._release(keys=[project_key(int(project or 0), "job")], args=[job])
        return True

    def _event_of(self, job: str, fields: Fields) -> Event | None:
        """What is told of its end. None for a training that has told it: who writes twice tells once."""
        project, status = self._redis.hmget(job_key(job), "project", "status")
        if project is None or status in FINAL_STATES:
            return None
        if fields["status"] == JobOutcome.FAILED:
            return training_failed(int(project), job)
        version = fields.get("version")
        reason = hide_secrets(str(fields.get("message") or ""))[:MESSAGE_CHARACTERS]
        return refused(int(project), job, None if version is None else str(version), reason)

    @guarded
    def give_back(self, job: str) -> None:
        """Hand a training on whose worker ends: that it did is no attempt that failed."""
        self._redis.hincrby(job_key(job), "stops", 1)
        self.send(job)

    @guarded
    def running(self, project: int) -> JobRecord | None:
        """The training that is queued or running."""
        job = self._redis.get(project_key(project, "job"))
        if job is None:
            return None
        try:
            record = self.get(job)
        except NotFound:
            return None
        return None if record["status"] in FINAL_STATES else record

    @guarded
    def recent(self, project: int, last: int = RECENT_TRAININGS) -> list[JobRecord]:
        """The `last` trainings, newest first."""
        found = []
        for job in self._redis.lrange(project_key(project, "jobs"), 0, last - 1):
            try:
                found.append(self.get(job))
            except NotFound:
                continue  # expired
        return found

    @guarded
    def newest(self, project: int) -> JobRecord | None:
        """The training that was asked for last; None without one, or when its record has expired."""
        job = self._redis.lindex(project_key(project, "jobs"), 0)
        return self.find(job) if job else None

    def cancel(self, job: str) -> JobRecord:
        """Ask a training to stop; at once when it has not begun. Raises NotFound, or Conflict when it is over."""
        record = self.get(job)
        if record["status"] in FINAL_STATES:
            raise Conflict(f"{job} is over: {record['status']}", job=job, status=record["status"])
        fields: dict[str, str | float | None] = {
            "status": JobOutcome.CANCELLED,
            "message": "cancelled before it began",
            "ended_at": time.time(),
        }
        self.update(job, {"cancel": 1, **(fields if record["status"] == "queued" else {})})
        return self.get(job)

    @guarded
    def is_cancelled(self, job: str) -> bool:
        """Whether its cancellation was requested."""
        return self._redis.hget(job_key(job), "cancel") == "1"

    @guarded
    def enqueue_refit(self, project: int) -> bool:
        """Ask for a refit; False when one is asked for already and has not begun. However far the learner is behind,
        one of a project waits: their number would grow for as long as it is."""
        if not self._leases.take(project_key(project, "refit"), FLAG_SECONDS):
            return False
        return self._queue.enqueue_once(project_key(project, "refit:rq"), REFIT, project, retries=3)

    @guarded
    def begin_refit(self, project: int) -> None:
        """From here on a change asks for a refit of its own."""
        self._redis.delete(project_key(project, "refit"))

    @guarded
    def is_refit_due(self, project: int) -> bool:
        """Whether one was asked for that has not begun."""
        return bool(self._redis.exists(project_key(project, "refit")))

    @guarded
    def is_learner_wanted(self) -> bool:
        """Whether work waits for the learner."""
        return self._queue.length(REFIT) > 0

    @guarded
    def enqueue_sync(self, project: int) -> bool:
        """Ask for a reconciliation with Label Studio; False when one is asked for already and has not begun."""
        asked = project_key(project, "resync:rq")
        taken = self._leases.take(project_key(project, "resync"), FLAG_SECONDS * 10)
        # A worker that dies between taking the call and beginning it leaves the flag behind.
        if not taken and self._queue.is_waiting(str(self._redis.get(asked))):
            return False
        self._redis.set(asked, self._queue.enqueue(SYNC, project), ex=24 * 3600)
        return True

    @guarded
    def begin_sync(self, project: int) -> None:
        """From here on a reconciliation that is asked for is another one."""
        self._redis.delete(project_key(project, "resync"))


_NUMBERS = frozenset(
    {
        "project",
        "step",
        "of",
        "epoch",
        "loss",
        "seconds_left",
        "asked_at",
        "started_at",
        "ended_at",
        "attempts",
        "stops",
        "force",
    }
)


def _shown(name: str, value: str | float) -> str:
    """As it is kept: what is said of a failure quotes libraries."""
    return hide_secrets(str(value))[:MESSAGE_CHARACTERS] if name == "message" else str(value)


def _number(text: str) -> float | int | str:
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if value.is_integer() else value
