"""The label stream: the tasks that the queue has handed to Label Studio, how many of the last labels are of those, and
the order of the Data Manager's tabs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from backend.redis_access.connection import Client, Script, guarded
from backend.redis_access.keys import project_key
from backend.redis_access.leases import Leases

SHARE_LABELS = 20
"""Labels of which the share is told: so few show a change within minutes."""

LABELS_KEPT = 200
"""Labels remembered."""

STILL_SECONDS = 900.0
"""A task of a batch that was replaced may be on somebody's screen, and counts as handed out, for so long."""

NEVER_REPLACED = 10**11
"""Epoch seconds far away: the batch that is there counts until it is replaced. (Infinity is no JSON, for backups.)"""

TABS_SECONDS = 30.0
"""How long one process has the tabs for itself: two that find none would make two."""

_HAND_OUT = """
-- KEYS: queued    ARGV: now, until when the batch before counts, until when this one does, tasks
for _, task in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[3], ARGV[3])) do
  redis.call('ZADD', KEYS[1], ARGV[2], task)
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
for place = 4, #ARGV do redis.call('ZADD', KEYS[1], ARGV[3], ARGV[place]) end
"""

_NOTE = """
-- KEYS: queued, handed    ARGV: now, labels kept, annotation, task, annotation, task, ...
-- Label Studio numbers annotations as they are made, so that the last ones have the highest numbers.
if redis.call('EXISTS', KEYS[1]) == 0 then return end
for place = 3, #ARGV, 2 do
  local annotation, task = ARGV[place], ARGV[place + 1]
  if redis.call('ZCOUNT', KEYS[2], annotation, annotation) == 0 then
    local until_ = redis.call('ZSCORE', KEYS[1], task)
    local flag = until_ and tonumber(until_) >= tonumber(ARGV[1]) and '1' or '0'
    redis.call('ZADD', KEYS[2], annotation, annotation .. ':' .. flag)
  end
end
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - tonumber(ARGV[2]))
"""


@dataclass(frozen=True)
class Handed:
    """Of the last `labels`, at most SHARE_LABELS, `of_queue` are of tasks that the queue had handed out."""

    labels: int = 0
    of_queue: int = 0


def handed_key(project: int) -> str:
    """ZSET of the last labels: `<annotation>:<1 when of the queue>` by annotation."""
    return project_key(project, "handed")


def count_handed(members: Iterable[str]) -> Handed:
    """What members of that set, the last ones, say."""
    flags = [member.rsplit(":", 1)[-1] == "1" for member in members]
    return Handed(len(flags), sum(flags))


class LabelStreamStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client) -> None:
        self._redis, self._leases = client, Leases(client)
        self._hand_out, self._note = Script(client, _HAND_OUT), Script(client, _NOTE)

    @guarded
    def hand_out(self, project: int, tasks: Iterable[int]) -> None:
        """Label Studio's queue is these tasks from now on."""
        now = time.time()
        self._hand_out(keys=[project_key(project, "queued")], args=[now, now + STILL_SECONDS, NEVER_REPLACED, *tasks])

    @guarded
    def note_labels(self, project: int, labels: Mapping[int, int]) -> None:
        """New annotations -> their tasks. One that is known stays as it is; nothing is noted before the first queue."""
        pairs: list[int] = [part for pair in labels.items() for part in pair]
        self._note(keys=[project_key(project, "queued"), handed_key(project)], args=[time.time(), LABELS_KEPT, *pairs])

    @guarded
    def handed(self, project: int) -> Handed:
        """Whether the last labels are of tasks that the queue handed out."""
        return count_handed(self._redis.zrange(handed_key(project), -SHARE_LABELS, -1))

    @guarded
    def marks(self, project: int) -> dict[int, str]:
        """Tab -> what became of its order (backend/jobs/task_queue/stream_order.py)."""
        return {int(tab): str(mark) for tab, mark in self._redis.hgetall(project_key(project, "tabs")).items()}

    @guarded
    def save_marks(self, project: int, marks: Mapping[int, str]) -> None:
        """In place of all before."""
        key = project_key(project, "tabs")
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.delete(key)
        if marks:
            pipeline.hset(key, mapping={str(tab): mark for tab, mark in marks.items()})
        pipeline.execute()

    @guarded
    def claim_tabs(self, project: int) -> bool:
        """Whether this process may change the tabs' order now; `leave_tabs` when it is done."""
        return self._leases.take(project_key(project, "tabs:held"), TABS_SECONDS)

    @guarded
    def leave_tabs(self, project: int) -> None:
        """Free the tabs for another scheduler."""
        self._redis.delete(project_key(project, "tabs:held"))
