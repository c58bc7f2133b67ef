"""What a teacher was asked about and what it said: one run a project at a time, and the answers of all of them.

A text's answer is kept by what it was asked (backend/teacher/prompt.py), so that nothing is asked twice. No text is
kept here, and no answer counts as a label."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict, cast

from backend.outcomes import FINAL_STATES, JobOutcome
from backend.redaction import hide_secrets
from backend.redis_access.connection import Client, Script, guarded
from backend.redis_access.job_kinds import TEACH, TEACH_TEXTS
from backend.redis_access.job_queue import JobQueue
from backend.redis_access.keys import project_key
from backend.redis_access.leases import Leases
from backend.redis_access.staleness import Staleness
from backend.store.work.run_scripts import CHANGE, CREATE, pairs

LEASE_SECONDS = 75.0
"""Longer than one question may take: a worker that asks says so before each."""

SENT_SECONDS = 5.0
"""A call that was sent is in RQ's hands after this long, or was lost on the way."""

MESSAGE_CHARACTERS = 300

FITTED = "teacher_fitted"
"""In a project's `meta`: the mark that the last refit has read."""


_KEEP = """
-- KEYS: run, answers    ARGV: run, its mark when it is forgotten, key, answer
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] or redis.call('HGET', KEYS[1], 'mark') == ARGV[2] then return 0 end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
return 1
"""


class Teaching(TypedDict):
    """`status`: queued, running, done, failed or cancelled; `tasks`: whose texts are asked, in this order, None before
    they are chosen; `asks`: changes with the questions and the model; `next`: place of the first that was not asked;
    `answered`, `bad`: how many answers could and could not be used; `requests`: made so far, also those that came to
    nothing; `tokens`: as the teacher counts; `tries`: failures in a row, `not_before`: of the next question,
    `pause` seconds after the last one (not there before the first failure); `mark`:
    changes when there is something new to learn. Times in epoch seconds."""

    id: str
    status: str
    by: str
    model: str
    texts: int
    tasks: list[int] | None
    asks: str
    next: int
    answered: int
    bad: int
    requests: int
    tokens: int
    tries: int
    not_before: float
    pause: NotRequired[float]
    mark: str
    message: str
    error: str
    asked_at: float
    ended_at: float | None


CLOCK_SECONDS = 1.0
"""By which a clock may go back with nothing coming early."""


def seconds_left(record: Teaching) -> float:
    """Until the next question. What is further off than it was put off is due: the clock was set back."""
    left = record["not_before"] - time.time()
    return left if 0 < left <= record.get("pause", 0.0) + CLOCK_SECONDS else 0.0


class TeachingStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client, queue: JobQueue) -> None:
        self._redis, self._queue = client, queue
        self._leases, self.still = Leases(client), Staleness()
        self._change, self._create, self._keep = (Script(client, text) for text in (CHANGE, CREATE, _KEEP))

    @guarded
    def request(self, project: int, by: str, model: str, texts: int) -> tuple[Teaching, bool]:
        """(the run, whether it is new): the one that is not over when there is one."""
        before = self.find(project)
        fields: Teaching = {
            "id": f"teach-{project}-{secrets.token_hex(5)}",
            "status": "queued",
            "by": by,
            "model": model,
            "texts": texts,
            "tasks": None,
            "asks": "",
            "next": 0,
            "answered": 0,
            "bad": 0,
            "requests": 0,
            "tokens": 0,
            "tries": 0,
            "not_before": 0.0,
            "mark": before["mark"] if before else "",
            "message": "",
            "error": "",
            "asked_at": time.time(),
            "ended_at": None,
        }
        created = bool(self._create(keys=[project_key(project, "teacher")], args=pairs(fields)))
        found = fields if created else self.find(project) or fields
        if created:
            self.send(project, found)
        return found, created

    @guarded
    def find(self, project: int) -> Teaching | None:
        """The newest run; None before the first."""
        values = self._redis.hgetall(project_key(project, "teacher"))
        return cast(Teaching, {name: json.loads(text) for name, text in values.items()}) if values else None

    @guarded
    def change(self, project: int, run: str, fields: Mapping[str, object]) -> bool:
        """Set fields of a run; whether it is still the newest, and was not over."""
        return bool(self._change(keys=[project_key(project, "teacher")], args=[json.dumps(run), *pairs(fields)]))

    def finish(self, project: int, run: str, status: JobOutcome, message: str = "", error: str = "") -> bool:
        """End a run; whether this call did."""
        said = hide_secrets(message)[:MESSAGE_CHARACTERS]
        return self.change(project, run, {"status": status, "message": said, "error": error, "ended_at": time.time()})

    @guarded
    def send(self, project: int, record: Teaching) -> None:
        """Hand it to a learner, which chooses the texts, or to whoever asks about them."""
        call = self._queue.enqueue(TEACH_TEXTS if record["tasks"] is None else TEACH, project, record["id"])
        self._redis.set(project_key(project, "teacher:call"), call)

    @guarded
    def hold(self, project: int, owner: str) -> bool:
        """Whether the run is `owner`'s for the next LEASE_SECONDS."""
        return self._leases.hold(project_key(project, "teacher:lease"), owner, LEASE_SECONDS)

    @guarded
    def release(self, project: int, owner: str) -> None:
        """Free it for another worker."""
        self._leases.release(project_key(project, "teacher:lease"), owner)

    @guarded
    def lost(self, project: int) -> Teaching | None:
        """The run that is not over, that nobody works on, that waits nowhere, and whose time has come."""
        record = self.find(project)
        if record is None or record["status"] in FINAL_STATES or seconds_left(record) > 0:
            return None
        call = str(self._redis.get(project_key(project, "teacher:call")))
        works = self._leases.left(project_key(project, "teacher:lease"), LEASE_SECONDS) > 0
        if self.still.seconds(record["id"], f"{call} {works} {record['next']}") <= SENT_SECONDS or works:
            return None
        return None if self._queue.is_waiting(call) else record

    @guarded
    def keep(self, project: int, run: str, key: str, answer: str) -> None:
        """What was said of a text, unless the project or what was said is to be forgotten since it was asked."""
        keys = [project_key(project, "teacher"), project_key(project, "teacher:answers")]
        self._keep(keys=keys, args=[json.dumps(run), json.dumps(_forgotten(run)), key, answer])

    @guarded
    def answers(self, project: int, keys: Sequence[str]) -> dict[str, str]:
        """Those that there are."""
        if not keys:
            return {}
        found = self._redis.hmget(project_key(project, "teacher:answers"), list(keys))
        return {key: text for key, text in zip(keys, found, strict=True) if text is not None}

    @guarded
    def forget(self, project: int, run: str) -> None:
        """All answers, and that there were some."""
        self._redis.delete(project_key(project, "teacher:answers"))
        self._redis.hset(project_key(project, "teacher"), "mark", json.dumps(_forgotten(run)))

    @guarded
    def note_fitted(self, project: int, mark: str) -> None:
        """A refit has read what there was at this mark."""
        self._redis.hset(project_key(project, "meta"), FITTED, mark)

    @guarded
    def is_pending(self, project: int) -> bool:
        """Whether there is more to learn than the last refit has read."""
        record = self.find(project)
        if record is None:
            return False
        return record["mark"] != (self._redis.hget(project_key(project, "meta"), FITTED) or "")


def _forgotten(run: str) -> str:
    """The mark of a run whose answers an admin had forgotten."""
    return f"{run}:forgotten"
