"""Runs that predict files: one a project at a time, cut into shards of which a bounded number is sent at a time.

The parts that lie in the output are the truth; what is kept here says what is left and who works on it. RQ's queue only
carries calls: the scheduler sends again what it loses, and a run that Redis has lost goes on when it is asked for anew.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict, cast

from backend.outcomes import FINAL_STATES, JobOutcome
from backend.redaction import hide_secrets
from backend.redis_access.connection import Client, Script, guarded
from backend.redis_access.job_kinds import FILES
from backend.redis_access.job_queue import JobQueue
from backend.redis_access.keys import project_key
from backend.redis_access.leases import Leases
from backend.redis_access.staleness import Staleness
from backend.store.work.run_scripts import CHANGE, CREATE, IS_OVER, pairs
from model.spec import Json

LEASE_SECONDS = 30.0
"""A worker that is at a shard says so more often than this; after so long without it another one may begin."""

SENT_SECONDS = 5.0
"""A call that was sent is in RQ's hands after this long, or was lost on the way."""

PLANNING = -1
"""Number of the call that cuts the files."""

SHARD_ATTEMPTS = 3
"""Times that a worker dies of a shard before it counts as failed."""

BATCH_SHARDS = 500
"""That are written into Redis in one call."""

_TAKE = f"""
-- KEYS: run, calls, sums, state    ARGV: run, shards in flight    Returns the next shard to send, -1 for none now.
{IS_OVER}
if is_over or redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return -1 end
local sent = tonumber(redis.call('HGET', KEYS[3], 'sent') or '0')
local shards = tonumber(redis.call('HGET', KEYS[3], 'shards') or '0')
while sent < shards and redis.call('HEXISTS', KEYS[4], sent) == 1 do sent = sent + 1 end
redis.call('HSET', KEYS[3], 'sent', sent)
if sent >= shards or redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[2]) then return -1 end
redis.call('HSET', KEYS[3], 'sent', sent + 1)
redis.call('HSET', KEYS[2], sent, '')
return sent
"""

_END = f"""
-- KEYS: run, calls, sums, state, attempts    ARGV: run, shard, how it ended, then counts to add    Returns whether
-- this was the first to say so.
{IS_OVER}
if is_over or redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[2], ARGV[2])
redis.call('HDEL', KEYS[5], ARGV[2])
if redis.call('HSETNX', KEYS[4], ARGV[2], ARGV[3]) == 0 then return 0 end
for i = 4, #ARGV, 2 do redis.call('HINCRBY', KEYS[3], ARGV[i], ARGV[i + 1]) end
return 1
"""

NAMES = ("files", "files:calls", "files:sums", "files:state", "files:attempts", "files:shards")


class Asked(TypedDict):
    """`version` "": the live one; `rows` of a shard; `prefix`: of the columns that rows get."""

    source: str
    output: str
    version: str
    rows: int
    prefix: str


class FileRun(Asked):
    """`status`: queued, running, done, failed or cancelled; `suffix` of the parts. Times in epoch seconds."""

    id: str
    status: str
    by: str
    project: int
    asked_at: float
    suffix: NotRequired[str]
    began_at: NotRequired[float]
    message: NotRequired[str]
    ended_at: NotRequired[float]


class Sums(TypedDict):
    """`shards` and `rows` there are; `sent`: shards that were looked at to be sent; `over` and `failed` shards;
    `written` rows, `kept` those of parts that were there before; `errors`: rows without an answer."""

    shards: int
    rows: int
    sent: int
    over: int
    failed: int
    written: int
    kept: int
    errors: int


class FileRunStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses. `window`: shards in flight."""

    def __init__(self, client: Client, queue: JobQueue, window: int) -> None:
        self._redis, self._queue, self._window = client, queue, window
        self._leases, self.still = Leases(client), Staleness()
        self._create, self._change = Script(client, CREATE), Script(client, CHANGE)
        self._take, self._end = Script(client, _TAKE), Script(client, _END)

    @guarded
    def request(self, project: int, by: str, asked: Asked) -> tuple[FileRun, bool]:
        """(the run, whether it is new): the one that is not over when there is one, whatever it reads."""
        fields: FileRun = {
            "source": asked["source"],
            "output": asked["output"],
            "version": asked["version"],
            "rows": asked["rows"],
            "prefix": asked["prefix"],
            "id": f"files-{project}-{secrets.token_hex(5)}",
            "status": "queued",
            "by": by,
            "project": project,
            "asked_at": time.time(),
        }
        created = bool(self._create(keys=self._keys(project, *NAMES), args=pairs(fields)))
        if created:
            self.send(project, fields["id"], PLANNING)
        return self.find(project) or fields, created

    @guarded
    def find(self, project: int) -> FileRun | None:
        """The newest run; None before the first."""
        values = self._redis.hgetall(project_key(project, "files"))
        return cast(FileRun, {name: json.loads(text) for name, text in values.items()}) if values else None

    def is_current(self, project: int, run: str) -> bool:
        """Whether it is the newest, and is not over."""
        record = self.find(project)
        return record is not None and record["id"] == run and record["status"] not in FINAL_STATES

    @guarded
    def change(self, project: int, run: str, fields: Mapping[str, str | float]) -> bool:
        """Set fields of a run; whether it is still the newest, and was not over."""
        return bool(self._change(keys=self._keys(project, "files"), args=[json.dumps(run), *pairs(fields)]))

    def finish(self, project: int, run: str, status: JobOutcome, message: str = "") -> bool:
        """End a run; whether this call did. What is left of it is of no use to the next one."""
        ended = self.change(
            project, run, {"status": status, "message": hide_secrets(message)[:400], "ended_at": time.time()}
        )
        if ended:
            self._forget(project)
        return ended

    @guarded
    def _forget(self, project: int) -> None:
        self._redis.delete(*self._keys(project, "files:calls", "files:attempts", "files:shards", "files:state"))

    @guarded
    def keep_plan(self, project: int, shards: Sequence[Mapping[str, Json]], there: Mapping[int, int]) -> None:
        """Before the run counts as running. `there`: number of a shard whose part is written -> its errors."""
        names = self._keys(project, "files:shards", "files:state", "files:sums")
        self._redis.delete(*names)
        for first in range(0, len(shards), BATCH_SHARDS):
            some = shards[first : first + BATCH_SHARDS]
            self._redis.hset(names[0], mapping={first + at: json.dumps(one) for at, one in enumerate(some)})
        kept = sum(int(str(shards[number]["rows"])) for number in there)
        if there:
            self._redis.hset(names[1], mapping=dict.fromkeys(there, "kept"))
        sums: Sums = {
            "shards": len(shards),
            "rows": sum(int(str(one["rows"])) for one in shards),
            "sent": 0,
            "over": len(there),
            "failed": 0,
            "written": kept,
            "kept": kept,
            "errors": sum(there.values()),
        }
        self._redis.hset(names[2], mapping=cast("Mapping[str, int]", sums))

    @guarded
    def forget_planning(self, project: int) -> None:
        """The call that cuts the files, or looks whether all of them are over, has come to its end."""
        self._redis.hdel(project_key(project, "files:calls"), str(PLANNING))

    @guarded
    def sums(self, project: int) -> Sums:
        """All 0 before the files are cut."""
        values = self._redis.hgetall(project_key(project, "files:sums"))
        return cast(Sums, {name: int(values.get(name, 0)) for name in Sums.__annotations__})

    @guarded
    def in_flight(self, project: int) -> int:
        """Shards that wait or are worked on."""
        return int(self._redis.hlen(project_key(project, "files:calls")))

    @guarded
    def shard(self, project: int, number: int) -> dict[str, Json] | None:
        """One shard that is not over; None for another."""
        if self._redis.hexists(project_key(project, "files:state"), str(number)):
            return None
        text = self._redis.hget(project_key(project, "files:shards"), str(number))
        return cast("dict[str, Json]", json.loads(text)) if text else None

    @guarded
    def begin(self, project: int, number: int) -> int:
        """The number of this attempt: workers may die of a shard."""
        return int(self._redis.hincrby(project_key(project, "files:attempts"), str(number), 1))

    @guarded
    def end_in_order(self, project: int, number: int) -> None:
        """Whatever became of the attempt, nobody died of it."""
        self._redis.hdel(project_key(project, "files:attempts"), str(number))

    @guarded
    def end(self, project: int, run: str, number: int, how: str, counts: Mapping[str, int]) -> bool:
        """A shard is over; whether this was the first to say so. `counts`: of Sums, to be added."""
        flat = [part for name, count in counts.items() for part in (name, count)]
        keys = self._keys(project, "files", "files:calls", "files:sums", "files:state", "files:attempts")
        return bool(self._end(keys=keys, args=[json.dumps(run), number, how[:400], *flat]))

    @guarded
    def failed(self, project: int) -> dict[int, str]:
        """Shards that failed, and why."""
        states = self._redis.hgetall(project_key(project, "files:state"))
        return {int(number): how for number, how in states.items() if how not in ("done", "kept")}

    @guarded
    def top_up(self, project: int, run: str) -> int:
        """Send shards until so many are in flight as may be; how many were sent."""
        keys, count = self._keys(project, "files", "files:calls", "files:sums", "files:state"), 0
        while (number := int(self._take(keys=keys, args=[json.dumps(run), self._window]))) >= 0:
            self.send(project, run, number)
            count += 1
        return count

    @guarded
    def send(self, project: int, run: str, number: int) -> None:
        """Hand a shard to whichever worker is free."""
        call = self._queue.enqueue(FILES, project, run, number)
        self._redis.hset(project_key(project, "files:calls"), str(number), call)

    @guarded
    def hold(self, project: int, number: int, owner: str) -> bool:
        """Whether the shard is `owner`'s for the next LEASE_SECONDS."""
        return self._leases.hold(self._lease(project, number), owner, LEASE_SECONDS)

    @guarded
    def release(self, project: int, number: int, owner: str) -> None:
        """Free the shard for another worker."""
        self._leases.release(self._lease(project, number), owner)

    @guarded
    def revive(self, project: int) -> None:
        """For a run in which nothing is in flight, since a worker died between two steps: what is left is sent; when
        nothing is, somebody is to say that it is over."""
        run = self.find(project)
        if run is None or run["status"] != "running" or self.top_up(project, run["id"]) or self.in_flight(project):
            return
        self.send(project, run["id"], PLANNING)

    @guarded
    def lost(self, project: int) -> list[tuple[str, int]]:
        """(run, number) of the calls that nobody works on and that wait nowhere: RQ lost them, or their worker died."""
        run = self.find(project)
        if run is None or run["status"] in FINAL_STATES:
            return []
        calls = self._redis.hgetall(project_key(project, "files:calls"))
        return [(run["id"], int(number)) for number, call in calls.items() if self._is_lost(run, int(number), call)]

    def _is_lost(self, run: FileRun, number: int, call: str) -> bool:
        works = self._leases.left(self._lease(run["project"], number), LEASE_SECONDS) > 0
        if self.still.seconds(f"{run['id']}/{number}", f"{call} {works}") <= SENT_SECONDS or works:
            return False
        return not (call and self._queue.is_waiting(call))

    def _lease(self, project: int, number: int) -> str:
        return project_key(project, f"files:lease:{number}")

    def _keys(self, project: int, *names: str) -> list[str]:
        return [project_key(project, name) for name in names]
