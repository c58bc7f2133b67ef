"""All that is worth keeping of a store, as JSON: read while everything runs, and written into an empty store.

JSON and not DUMP/RESTORE: those are tied to a Redis version and cannot be migrated or read. Left out is what ends by
itself or is asked for again: leases, flags, waits, queued trainings, all of RQ's keys. The examples of a project and
their numbers are of one moment; versions and watermarks are of a moment just before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from backend.redis_access.connection import Client, Script, guarded
from backend.redis_access.keys import PROJECTS, SCHEDULER_LEASE, SCHEMA, project_key
from backend.store.schema import CURRENT, find_schema, take_on_schema
from backend.store.work.trainings import OVER

BATCH = 500

Line = dict[str, Any]
"""`{"key", "type", "items"}` with some items of a hash, list, set, zset or stream; a string has `value`; `ttl`: ms."""

_OURS = "understudy:*"
_OF_PROJECT = re.compile(r"understudy:\{p(\d+)\}:(.+)")
_PASSING = re.compile(r"(refit|resync|job|predict|predict:.*|hold:.*|bytask:.*)")
"""`bytask` is built again from `task`."""

_PASSING_KEYS = frozenset({SCHEDULER_LEASE, SCHEMA})

EXAMPLES = ("ex", "ver", "task", "log", "seq")
"""Read together, at one moment."""

_CHANGES = """
-- KEYS: ex, ver, task, log, seq    ARGV: seq, most    As since.lua, with everything that is known of each annotation.
-- Returns {seq up to which that is all, [id, score, ex, ver, task]...}; '' for what is gone.
local found = redis.call('ZRANGEBYSCORE', KEYS[4], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local rows = {}
for i = 1, #found, 2 do
  local row = {found[i], found[i + 1]}
  for k = 1, 3 do row[k + 2] = redis.call('HGET', KEYS[k], found[i]) or '' end
  rows[#rows + 1] = row
end
if #rows == tonumber(ARGV[2]) then return {found[#found], rows} end
return {redis.call('GET', KEYS[5]) or '0', rows}
"""


class Dump:
    """Reads and writes lines. All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client) -> None:
        self._redis = client
        self._changes = Script(client, _CHANGES)

    @guarded
    def index(self) -> dict[int | None, list[str]]:
        """Keys worth keeping by project, None for those of no project. One pass over all keys."""
        found: dict[int | None, list[str]] = {None: []}
        for key in set(self._redis.scan_iter(_OURS, count=BATCH)):
            match = _OF_PROJECT.fullmatch(key)
            if match is None and key not in _PASSING_KEYS:
                found[None].append(key)
            elif match and not _PASSING.fullmatch(match[2]):
                found.setdefault(int(match[1]), []).append(key)
        return found

    @guarded
    def is_empty(self) -> bool:
        """Whether nothing is known of any project."""
        return not self._redis.exists(PROJECTS) and set(self.index()) == {None}

    @guarded
    def is_in_use(self) -> bool:
        """Whether a scheduler is at work on it."""
        return bool(self._redis.exists(SCHEDULER_LEASE))

    def read_project(self, project: int, keys: Iterable[str]) -> Iterator[Line]:
        """Everything of one project; its versions and watermarks before its examples, which are thus never older."""
        together = {project_key(project, name) for name in EXAMPLES}
        yield from self.read(set(keys) - together)
        yield from self._read_examples(project)

    def read(self, keys: Iterable[str]) -> Iterator[Line]:
        """What these keys hold."""
        for key in sorted(keys):
            yield from self._read(key)

    @guarded
    def write(self, lines: Iterable[Line]) -> int:
        """Into a store that has none of these keys; how many lines."""
        count, waiting = 0, 0
        pipeline = self._redis.pipeline(transaction=False)
        for line in lines:
            count += 1
            _write(pipeline, line)
            waiting += len(line.get("items", ())) + 1
            if waiting >= 2 * BATCH:
                pipeline.execute()
                waiting = 0
        pipeline.execute()
        return count

    @property
    def newest_schema(self) -> int:
        """What this release knows."""
        return CURRENT

    def schema(self) -> int:
        """Of what is stored."""
        return find_schema(self._redis)

    def take_on_schema(self) -> None:
        """Make what has been written this release's."""
        take_on_schema(self._redis)

    @guarded
    def set_schema(self, number: int) -> None:
        """What has been written is of this shape."""
        self._redis.set(SCHEMA, number)

    @guarded
    def clear(self) -> None:
        """Deletes everything, RQ's keys too."""
        for pattern in (_OURS, "rq:*"):
            for key in self._redis.scan_iter(pattern, count=BATCH):
                self._redis.unlink(key)

    @guarded
    def _read(self, key: str) -> list[Line]:
        kind = str(self._redis.type(key))
        if kind == "none" or (key.startswith("understudy:job:") and self._redis.hget(key, "status") not in OVER):
            return []  # gone meanwhile; or a training that is not over, which would be taken for a lost one
        left = int(self._redis.pttl(key))
        head: Line = {"key": key, "type": kind, **({"ttl": left} if left > 0 else {})}
        if kind == "string":
            return [{**head, "value": self._redis.get(key)}]
        return _portions(head, list(self._items(key, kind)))

    def _items(self, key: str, kind: str) -> Iterator[Any]:
        match kind:
            case "hash":
                yield from dict(self._redis.hscan_iter(key, count=BATCH)).items()
            case "set":
                yield from sorted(set(self._redis.sscan_iter(key, count=BATCH)))
            case "zset":
                yield from dict(self._redis.zscan_iter(key, count=BATCH)).items()
            case "list":
                yield from self._redis.lrange(key, 0, -1)
            case "stream":
                last = "-"
                while found := self._redis.xrange(key, min=last, count=BATCH):
                    yield from found
                    last = f"({found[-1][0]}"

    @guarded
    def _read_examples(self, project: int) -> Iterator[Line]:
        keys = [project_key(project, name) for name in EXAMPLES]
        seq, whole = int(self._redis.get(keys[4]) or 0), False
        tables = [dict(self._redis.hscan_iter(key, count=BATCH)) for key in keys[:3]]
        log = {str(name): score for name, score in self._redis.zscan_iter(keys[3], count=BATCH)}
        while not whole:
            upto, rows = self._changes(keys=keys, args=[seq, BATCH])
            seq, whole = int(upto), len(rows) < BATCH
            for name, score, *values in rows:
                log[name] = float(score)
                for table, value in zip(tables, values, strict=True):
                    table.update({name: value}) if value else table.pop(name, None)
        yield {"key": keys[4], "type": "string", "value": str(seq)}
        for key, table in zip(keys, tables, strict=False):
            yield from _portions({"key": key, "type": "hash"}, list(table.items()))
        yield from _portions({"key": keys[3], "type": "zset"}, list(log.items()))


def _portions(head: Line, items: list[Any]) -> list[Line]:
    return [{**head, "items": items[start : start + BATCH]} for start in range(0, len(items), BATCH)]


def _write(pipeline: Client, line: Line) -> None:
    key, kind, items = str(line["key"]), line["type"], line.get("items", [])
    match kind:
        case "string":
            pipeline.set(key, line["value"])
        case "hash":
            pipeline.hset(key, mapping=dict(items))
            _write_owners(pipeline, key, items)
        case "set":
            pipeline.sadd(key, *items)
        case "zset":
            pipeline.zadd(key, dict(items))
        case "list":
            pipeline.rpush(key, *items)
        case "stream":
            for stamp, fields in items:
                pipeline.xadd(key, fields, id=stamp)
    if line.get("ttl"):
        pipeline.pexpire(key, line["ttl"])


def _write_owners(pipeline: Client, key: str, items: Iterable[Any]) -> None:
    """From annotation -> task the annotations of each task."""
    match = _OF_PROJECT.fullmatch(key)
    if match and match[2] == "task":
        for annotation, task in items:
            pipeline.sadd(project_key(int(match[1]), f"bytask:{task}"), annotation)
