"""Runs that predict a whole project: the request, the progress of each shard, and the worker that holds it.

One run a project. A shard is a range of task ids that one worker walks through from the lowest on; its cursor is kept
after every portion, so that whoever comes next goes on from there. RQ's queue only carries the calls: the scheduler
sends again what it loses.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypedDict, cast

from backend.outcomes import FINAL_STATES, JobOutcome
from backend.redaction import hide_secrets
from backend.redis_access.connection import Client, Script, guarded
from backend.redis_access.job_kinds import PREDICT
from backend.redis_access.job_queue import JobQueue
from backend.redis_access.keys import project_key
from backend.redis_access.leases import Leases
from backend.redis_access.staleness import Staleness
from backend.store.work.run_scripts import CHANGE, CREATE, IS_OVER, pairs

LEASE_SECONDS = 30.0
"""A worker that works on a shard says so more often than this; after so long without it the shard is free."""

SENT_SECONDS = 5.0
"""A call that was sent is in RQ's hands after this long, or was lost on the way."""

SHARD_ATTEMPTS = 5
"""Times in a row that a shard is begun and its worker dies, before it counts as failed."""

PLANNING_CALL = -1
"""The number of the call that cuts the project into shards."""

Count = Literal["seen", "written", "present", "declined", "dropped"]

TASK_COUNTS: tuple[Count, ...] = ("seen", "written", "present", "declined", "dropped")
"""Of a shard's tasks: looked at; predicted; predicted before by this version; declined by /predict (unreadable, unsure,
blind); dropped by Label Studio as unfit for its label config."""

TIMED_STEPS = ("listing", "asking", "writing")
"""What takes time: Label Studio's list, the web process's answers, Label Studio's import."""

REASONS_KEPT, REFUSED_TASKS = 10, 20
"""Reasons why predictions were dropped that are kept apart, and tasks that are named of each."""

OTHER_REASONS = "for other reasons"

_SAVE = f"""
-- KEYS: run, shards    ARGV: run, shard, its JSON    Returns 0, unchanged, for another run or one that is over.
{IS_OVER}
if is_over or redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
return 1
"""


class Run(TypedDict):
    """`status`: queued, running, done, failed or cancelled; `tasks` when it began; `portion`: pages written at a time.
    Times in epoch seconds."""

    id: str
    status: str
    by: str
    project: int
    labelled: bool
    asked_at: float
    tasks: int
    portion: NotRequired[int]
    message: NotRequired[str]
    ended_at: NotRequired[float]


class Counts(TypedDict):
    """TASK_COUNTS, of a portion or a shard."""

    seen: int
    written: int
    present: int
    declined: int
    dropped: int


class Shard(Counts):
    """`first` and `last` task id (`last` None: whatever comes), `cursor`: the id up to which it is done, TASK_COUNTS,
    `seconds` of TIMED_STEPS, `attempts` in a row that ended nobody knows how, `done`, `failed` (why, "" when it has
    not), `refused`: why Label Studio dropped predictions -> which."""

    first: int
    last: int | None
    cursor: int
    seconds: dict[str, float]
    attempts: int
    done: bool
    failed: str
    refused: NotRequired[dict[str, Refused]]


class Refused(TypedDict):
    """Predictions that Label Studio dropped for one reason: how many, and the first tasks."""

    count: int
    tasks: list[int]


class PredictionRunStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client, queue: JobQueue) -> None:
        self._redis, self._queue = client, queue
        self._leases, self.still = Leases(client), Staleness()
        self._save, self._change = Script(client, _SAVE), Script(client, CHANGE)
        self._create = Script(client, CREATE)

    @guarded
    def request(self, project: int, by: str, labelled: bool) -> tuple[Run, bool]:
        """(the run, whether it is new): the one that is not over when there is one. `labelled`: answered tasks, too."""
        fields: Run = {
            "id": f"predict-{project}-{secrets.token_hex(5)}",
            "status": "queued",
            "by": by,
            "project": project,
            "labelled": labelled,
            "asked_at": time.time(),
            "tasks": 0,
        }
        created = bool(self._create(keys=self._keys(project), args=pairs(fields)))
        if created:
            self.send(project, fields["id"], PLANNING_CALL)
        return self.find(project) or fields, created

    @guarded
    def find(self, project: int) -> Run | None:
        """The newest run; None before the first."""
        values = self._redis.hgetall(project_key(project, "predict"))
        return cast(Run, {name: json.loads(text) for name, text in values.items()}) if values else None

    @guarded
    def change(self, project: int, run: str, fields: Mapping[str, str | float | bool]) -> bool:
        """Set fields of a run; whether it is still the newest, and was not over."""
        return bool(self._change(keys=self._keys(project)[:1], args=[json.dumps(run), *pairs(fields)]))

    def finish(self, project: int, run: str, status: JobOutcome, message: str = "") -> bool:
        """End a run; whether this call did."""
        return self.change(project, run, {"status": status, "message": hide_secrets(message), "ended_at": time.time()})

    @guarded
    def shards(self, project: int) -> dict[int, Shard]:
        """The shards of the newest run."""
        values = self._redis.hgetall(project_key(project, "predict:shards"))
        return {int(number): json.loads(text) for number, text in sorted(values.items(), key=lambda item: int(item[0]))}

    @guarded
    def cursor(self, project: int, number: int) -> int:
        """The id up to which a shard is done."""
        return int(
            json.loads(self._redis.hget(project_key(project, "predict:shards"), number) or "{}").get("cursor", 0)
        )

    @guarded
    def save(self, project: int, run: str, number: int, shard: Shard) -> bool:
        """Keep how far a shard is; False when its run is over, or another one has begun: stop."""
        keys = self._keys(project)[:2]
        return bool(self._save(keys=keys, args=[json.dumps(run), number, json.dumps(shard, ensure_ascii=True)]))

    def start(self, project: int, run: str, ranges: Sequence[tuple[int, int | None]], tasks: int) -> None:
        """Keep the plan, and send its shards; those that an earlier attempt has kept stay as they are."""
        known = self.shards(project)
        for number, (first, last) in enumerate(ranges):
            if number not in known:
                self.save(project, run, number, new_shard(first, last))
        self.change(project, run, {"status": "running", "tasks": tasks})
        for number in range(len(ranges)):
            self.send(project, run, number)

    @guarded
    def send(self, project: int, run: str, number: int) -> None:
        """Hand a shard to whichever sync worker is free."""
        call = self._queue.enqueue(PREDICT, project, run, number)
        self._redis.hset(project_key(project, "predict:calls"), number, call)

    @guarded
    def hold(self, project: int, number: int, owner: str) -> bool:
        """Whether the shard is `owner`'s for the next LEASE_SECONDS."""
        return self._leases.hold(self._lease(project, number), owner, LEASE_SECONDS)

    @guarded
    def release(self, project: int, number: int, owner: str) -> None:
        """Free the shard for another worker."""
        self._leases.release(self._lease(project, number), owner)

    @guarded
    def lost(self, project: int) -> list[tuple[str, int]]:
        """(run, number) of the calls that nobody works on and that wait nowhere: RQ lost them, or their worker died."""
        run = self.find(project)
        if run is None or run["status"] in FINAL_STATES:
            return []
        shards = self.shards(project)
        numbers = (
            [PLANNING_CALL] if run["status"] == "queued" else [n for n, shard in shards.items() if not is_over(shard)]
        )
        calls = self._redis.hgetall(project_key(project, "predict:calls"))
        return [(run["id"], number) for number in numbers if self._is_lost(project, run, number, calls, shards)]

    def _is_lost(
        self, project: int, run: Run, number: int, calls: Mapping[str, str], shards: Mapping[int, Shard]
    ) -> bool:
        call = str(calls.get(str(number)))
        works = self._leases.left(self._lease(project, number), LEASE_SECONDS) > 0
        shard = shards.get(number)
        shown = f"{call} {works} {shard['cursor'] if shard else None}"
        if self.still.seconds(f"{run['id']}/{number}", shown) <= SENT_SECONDS or works:
            return False
        return not self._queue.is_waiting(call)

    def _lease(self, project: int, number: int) -> str:
        return project_key(project, f"predict:lease:{number}")

    def _keys(self, project: int) -> list[str]:
        return [project_key(project, name) for name in ("predict", "predict:shards", "predict:calls")]


def new_shard(first: int, last: int | None) -> Shard:
    """A shard that nobody has begun."""
    return {
        "first": first,
        "last": last,
        "cursor": first - 1,
        "seen": 0,
        "written": 0,
        "present": 0,
        "declined": 0,
        "dropped": 0,
        "seconds": dict.fromkeys(TIMED_STEPS, 0.0),
        "attempts": 0,
        "done": False,
        "failed": "",
    }


def note_refused(known: dict[str, Refused], reasons: Mapping[int, str]) -> dict[str, Refused]:
    """`known` with more predictions that were dropped: task -> why. Few reasons, and few tasks of each."""
    found = {words: Refused(count=own["count"], tasks=list(own["tasks"])) for words, own in known.items()}
    for task, words in sorted(reasons.items()):
        kept = words if words in found or len(found) < REASONS_KEPT else OTHER_REASONS
        own = found.setdefault(kept, Refused(count=0, tasks=[]))
        own["count"] += 1
        own["tasks"] = sorted({*own["tasks"], task})[:REFUSED_TASKS]
    return found


def is_over(shard: Shard) -> bool:
    """Whether nothing remains to be done, or it was given up."""
    return bool(shard["done"] or shard["failed"])
