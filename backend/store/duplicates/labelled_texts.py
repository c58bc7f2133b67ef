"""What people answered to each labelled text, by the keys that its duplicates share, in Redis.

The learner writes it before it publishes, and a web process reads it before that version answers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from backend.record_json import ControlDuplicates
from backend.redis_access.connection import UNREADABLE, Client, Script, guarded
from backend.redis_access.keys import project_key
from backend.store.duplicates.buckets import Entry, bucket_of, read_bucket, write_bucket
from backend.store.duplicates.facts import LabelledFacts

READ_BUCKETS = 128
"""Buckets read in one go: 1.5 MB with 100,000 labels."""

FACTS = "facts"
"""The field beside the buckets."""

_PUBLISH = """
-- KEYS: duplicates, duplicates:log
-- ARGV: facts, a name for the first time of all, then bucket and its text ("": it is empty now) of each that changed
local number = redis.call('HINCRBY', KEYS[1], 'number', 1)
redis.call('HSETNX', KEYS[1], 'first', ARGV[2])
redis.call('HSET', KEYS[1], 'facts', ARGV[1])
for index = 3, #ARGV, 2 do
  if ARGV[index + 1] == '' then
    redis.call('HDEL', KEYS[1], ARGV[index])
  else
    redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1])
  end
  redis.call('ZADD', KEYS[2], number, ARGV[index])
end
return number
"""


class State(NamedTuple):
    """`number`: how often it was published since the `first` time, which is another one when Redis lost its data."""

    first: str = ""
    number: int = 0


class LabelledTextStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client) -> None:
        self._redis = client
        self._script = Script(client, _PUBLISH)

    @guarded
    def publish(self, project: int, facts: LabelledFacts, changed: Mapping[int, Mapping[int, Entry]]) -> None:
        """`changed`: bucket -> all that is in it now, by key."""
        arguments: list[object] = [facts.to_json(), str(time.time_ns())]
        for bucket, entries in changed.items():
            arguments += [str(bucket), write_bucket(entries) if entries else ""]
        keys = [project_key(project, "duplicates"), project_key(project, "duplicates:log")]
        self._script(keys=keys, args=arguments)

    @guarded
    def task_of(self, project: int, key: int, control: int) -> int:
        """The labelled task that is named under a key; 0 for none."""
        text = self._redis.hget(project_key(project, "duplicates"), str(bucket_of(key)))
        return next((own.task for own in read_bucket(text or "", tasks=True).get(key, ()) if own.control == control), 0)

    @guarded
    def facts(self, project: int) -> LabelledFacts | None:
        """None before the first labels, and for what cannot be read: it is made anew."""
        try:
            text = self._redis.hget(project_key(project, "duplicates"), FACTS)
            return LabelledFacts.from_json(text) if text else None
        except UNREADABLE:
            return None

    def counts(self, project: int) -> dict[str, ControlDuplicates]:
        """By control, what is told of the labelled texts that are there again; empty before the first. Raises
        StoreUnavailable."""
        facts = self.facts(project)
        return {own.name: own.describe() for own in facts.controls} if facts is not None else {}

    @guarded
    def states(self, projects: Sequence[int]) -> list[State]:
        """Of each how far it is."""
        pipeline = self._redis.pipeline(transaction=False)
        for project in projects:
            pipeline.hmget(project_key(project, "duplicates"), ["first", "number"])
        return [State(first or "", int(number or 0)) for first, number in pipeline.execute()] if projects else []

    @guarded
    def buckets(self, project: int, since: int = 0) -> dict[int, str]:
        """Those that changed after `since`, as `write_bucket` wrote them; "" for an empty one."""
        names = self._redis.zrangebyscore(project_key(project, "duplicates:log"), f"({since}", "+inf")
        found: dict[int, str] = {}
        for start in range(0, len(names), READ_BUCKETS):
            some = names[start : start + READ_BUCKETS]
            texts = self._redis.hmget(project_key(project, "duplicates"), some)
            found.update((int(name), text or "") for name, text in zip(some, texts, strict=True))
        return found
