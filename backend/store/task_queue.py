"""What each project's queue in Label Studio holds, what is planned for it, and whether it is steered at all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NotRequired, TypedDict, cast

from backend.record_json import HuntState, PlanAgreement, PlannedSpan, QueueState
from backend.redis_access.connection import Client, Script, guarded
from backend.redis_access.job_kinds import PLAN, STEER
from backend.redis_access.job_queue import JobQueue
from backend.redis_access.keys import STEERED, project_key
from backend.redis_access.leases import Leases
from model.spec import Json

PASSED_SECONDS = 3600
"""A task that was skipped or is being drafted is not planned again for so long."""

ASKED_SECONDS = 120
"""A job that has not ended is asked for again after this time: its worker may be dead."""

_NUMBER = """
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
if tonumber(ARGV[1]) > last then last = tonumber(ARGV[1]) end
redis.call('SET', KEYS[1], last + 1)
return last + 1
"""


PlannedRegion = PlannedSpan | tuple[int, int, str, float, str, Sequence[tuple[str, Sequence[str], float]]]
"""A suggested span, and what is suggested about it, if anything is: question, keys, score."""


PlannedEnd = tuple[str, int, int, str]
PlannedRelation = tuple[PlannedEnd, PlannedEnd, Sequence[str], bool, float]
"""A suggested relation: source and target (control, start, end, label), labels, whether both ways, score."""


class HuntedTask(TypedDict):
    """A task that was handed out for a scarce class, and once it is labelled whether it was a `hit`. `order`: when what
    it was handed out for was ordered; 0 for what is hunted by itself."""

    control: str
    key: str
    at: float
    order: NotRequired[float]
    hit: NotRequired[bool]


class HuntOrder(TypedDict):
    """What an admin said of a class: what its members look like (`words`, `regex`, tasks `like` them), and that `count`
    of them are wanted since `at`; or that it is not to be hunted (`stopped`)."""

    control: str
    key: str
    at: float
    stopped: bool
    words: list[str]
    regex: str
    like: list[int]
    count: int


class PlannedTask(TypedDict):
    """One task of a plan, with the prediction that is written for it. `spans`: by control, what is marked; they join
    the result when the task is at hand, by which the page counts. `hunted`: control and key of the class that the task
    was chosen for."""

    task: int
    role: str
    cluster: int | None
    result: list[dict[str, Json]]
    score: float
    spans: NotRequired[dict[str, list[PlannedRegion]]]
    relations: NotRequired[list[PlannedRelation]]
    hunted: NotRequired[tuple[str, str]]


class QueuePlan(TypedDict, total=False):
    """The next batch: made `at` by the version `live` with so many `answers`; {} before the first. `orders`: when those
    were given that it knew; `seq`: of the last change that what came of hunts is known up to."""

    at: float
    live: str
    answers: int
    rows: int
    unread: int
    open: int
    agreements: list[PlanAgreement]
    hunts: list[HuntState]
    hunted_classes: int
    orders: list[float]
    seq: int
    entries: list[PlannedTask]


class TaskQueueStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client, queue: JobQueue) -> None:
        self._redis, self._queue, self._leases = client, queue, Leases(client)
        self._number = Script(client, _NUMBER)

    @guarded
    def save_plan(self, project: int, plan: QueuePlan) -> None:
        """The next batch, in place of one that was not written yet: `at`, `live`, `answers`, `rows` and `entries`."""
        self._redis.set(project_key(project, "plan"), json.dumps(dict(plan), ensure_ascii=True))
        self.update(project, {"planned_at": plan["at"], "planned_live": plan["live"]})

    @guarded
    def plan(self, project: int) -> QueuePlan:
        """The last plan; {} before the first."""
        return json.loads(self._redis.get(project_key(project, "plan")) or "{}")

    @guarded
    def state(self, project: int) -> QueueState:
        """Of the queue that Label Studio has: `version`, `at`, `live`, `answers`, `tasks`, `rows`; of the last plan
        `planned_at`; `off` (why it is not steered) and `off_at`. {} before anything was planned."""
        values = self._redis.hgetall(project_key(project, "queue"))
        return cast(QueueState, {name: json.loads(text) for name, text in values.items()})

    @guarded
    def update(self, project: int, fields: QueueState) -> None:
        """Change fields of the state."""
        values = {name: json.dumps(value, ensure_ascii=True) for name, value in fields.items()}
        self._redis.hset(project_key(project, "queue"), mapping=values)

    @guarded
    def number(self, project: int, least: int = 0) -> int:
        """The next queue version's number, above `least` and all before."""
        return int(self._number(keys=[project_key(project, "queue_number")], args=[least]))

    @guarded
    def switch(self, project: int, off: str = "") -> None:
        """Whether the project's queue is steered: `off` says why not."""
        if off:
            self._redis.srem(STEERED, project)
            self.update(project, {"off": off, "off_at": time.time()})
        else:
            self._redis.sadd(STEERED, project)
            self._redis.hdel(project_key(project, "queue"), "off", "off_at")

    @guarded
    def steered(self) -> set[int]:
        return {int(item) for item in self._redis.smembers(STEERED)}

    @guarded
    def recheck(self, project: int) -> None:
        """Something changed: a project that is not steered is planned anew, and then looked at."""
        key = project_key(project, "queue")
        if self._redis.hdel(key, "off_at"):
            self._redis.hdel(key, "planned_at", "at")

    @guarded
    def compare(self, project: int, shown: str) -> None:
        """Label Studio's queue goes by the name `shown`: when that is not ours, a new plan is due."""
        key = project_key(project, "queue")
        version = json.loads(self._redis.hget(key, "version") or '""')
        if version and version != shown:
            self._redis.hdel(key, "planned_at", "at")

    @guarded
    def skip(self, project: int, tasks: Iterable[int]) -> None:
        """Tasks that were skipped or are being worked on."""
        names = {str(task): time.time() for task in tasks}
        if names:
            self._redis.zadd(project_key(project, "passed"), names)

    @guarded
    def passed(self, project: int) -> frozenset[int]:
        """Tasks passed over within PASSED_SECONDS."""
        key = project_key(project, "passed")
        self._redis.zremrangebyscore(key, "-inf", time.time() - PASSED_SECONDS)
        return frozenset(int(item) for item in self._redis.zrange(key, 0, -1))

    @guarded
    def hunted(self, project: int) -> dict[int, HuntedTask]:
        """Task -> for which class it was handed out, and what came of it."""
        values = self._redis.hgetall(project_key(project, "hunted"))
        return {int(task): json.loads(text) for task, text in values.items()}

    @guarded
    def note_hunted(self, project: int, tasks: Mapping[int, HuntedTask], gone: Iterable[int] = ()) -> None:
        """Keep what became of these tasks, and forget others that nobody has labelled."""
        key, left = project_key(project, "hunted"), list(gone)
        if tasks:
            self._redis.hset(key, mapping={str(task): json.dumps(dict(own)) for task, own in tasks.items()})
        if left:
            self._redis.hdel(key, *map(str, left))

    @guarded
    def orders(self, project: int) -> list[HuntOrder]:
        """What admins said of classes, one each."""
        return [json.loads(text) for text in self._redis.hvals(project_key(project, "hunts"))]

    @guarded
    def order(self, project: int, order: HuntOrder) -> None:
        """In place of what was said of the class before."""
        field = json.dumps([order["control"], order["key"]])
        self._redis.hset(project_key(project, "hunts"), field, json.dumps(dict(order)))

    @guarded
    def enqueue_plan(self, project: int) -> bool:
        """Ask the learner for a plan; False when one is asked for already and has not ended."""
        if not self._leases.take(project_key(project, "plan:asked"), ASKED_SECONDS):
            return False
        return self._queue.enqueue_once(project_key(project, "plan:rq"), PLAN, project)

    @guarded
    def enqueue_steer(self, project: int) -> bool:
        """Ask the sync worker to write the plan; False when it is asked for already and has not ended."""
        if not self._leases.take(project_key(project, "steer:asked"), ASKED_SECONDS):
            return False
        return self._queue.enqueue_once(project_key(project, "steer:rq"), STEER, project)

    @guarded
    def end(self, project: int, what: str) -> None:
        """`what` ("plan" or "steer") has ended: it may be asked for again."""
        self._redis.delete(project_key(project, f"{what}:asked"))
