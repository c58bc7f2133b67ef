"""All that is worth keeping of a store, as JSON: read while everything runs, and written into an empty store.

JSON and not DUMP/RESTORE: those are tied to a Redis version and cannot be migrated or read. Left out is what ends by
itself or is asked for again: leases, flags, waits, queued trainings, all of RQ's keys. The examples of a project and
their numbers are of one moment; versions and watermarks are of a moment just before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NotRequired, TypedDict, TypeVar

from backend.outcomes import FINAL_STATES
from backend.redis_access.connection import Client, Script, guarded
from backend.redis_access.keys import (
    CLOCKS,
    ENCODERS_MISSING,
    OUTBOX,
    PROJECTS,
    SCHEDULER_LEASE,
    SCHEMA,
    SECRETS,
    project_key,
)
from backend.store.schema import SCHEMA_NUMBER, find_schema, upgrade_schema

REDIS_BATCH_KEYS = 500

Item = TypeVar("Item")


class Ending(TypedDict):
    """`ttl`: milliseconds; of what ends by itself."""

    ttl: NotRequired[int]


class StringLine(Ending):
    """A string, whole."""

    key: str
    type: Literal["string"]
    value: str


class HashLine(Ending):
    """Some fields of a hash with their values."""

    key: str
    type: Literal["hash"]
    items: Sequence[tuple[str, str]]


class MembersLine(Ending):
    """Some members of a set or a list."""

    key: str
    type: Literal["set", "list"]
    items: Sequence[str]


class ScoresLine(Ending):
    """Some members of a sorted set with their scores."""

    key: str
    type: Literal["zset"]
    items: Sequence[tuple[str, float]]


class StreamLine(Ending):
    """Some entries of a stream: id and fields."""

    key: str
    type: Literal["stream"]
    items: Sequence[tuple[str, dict[str, str]]]


Line = StringLine | HashLine | MembersLine | ScoresLine | StreamLine

_OURS = "understudy:*"
_OF_PROJECT = re.compile(r"understudy:\{p(\d+)\}:(.+)")
_PASSING = re.compile(r"(refit|resync|job|predict|predict:.*|hold:.*|bytask:.*)")
"""`bytask` is built again from `task`."""

_PASSING_KEYS = frozenset({SCHEDULER_LEASE, SCHEMA, SECRETS, CLOCKS, ENCODERS_MISSING})

EXAMPLE_KEYS = ("ex", "ver", "task", "log", "seq")
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
        for key in set(self._redis.scan_iter(_OURS, count=REDIS_BATCH_KEYS)):
            match = _OF_PROJECT.fullmatch(key)
            if match is None and key not in _PASSING_KEYS and not key.startswith(OUTBOX):
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
        together = {project_key(project, name) for name in EXAMPLE_KEYS}
        yield from self.read(set(keys) - together)
        yield from self._read_examples(project)

    def read(self, keys: Iterable[str]) -> Iterator[Line]:
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
            waiting += 1 if line["type"] == "string" else 1 + len(line["items"])
            if waiting >= 2 * REDIS_BATCH_KEYS:
                pipeline.execute()
                waiting = 0
        pipeline.execute()
        return count

    @property
    def newest_schema(self) -> int:
        """What this release knows."""
        return SCHEMA_NUMBER

    def schema(self) -> int:
        return find_schema(self._redis)

    def upgrade_schema(self) -> None:
        """Make what has been written this release's."""
        upgrade_schema(self._redis)

    @guarded
    def set_schema(self, number: int) -> None:
        """What has been written is of this shape."""
        self._redis.set(SCHEMA, number)

    @guarded
    def clear(self) -> None:
        """Deletes everything, RQ's keys too."""
        for pattern in (_OURS, "rq:*"):
            for key in self._redis.scan_iter(pattern, count=REDIS_BATCH_KEYS):
                if key != SECRETS:  # of the installation, not of its data
                    self._redis.unlink(key)

    @guarded
    def _read(self, key: str) -> list[Line]:
        kind = str(self._redis.type(key))
        if kind == "none" or (
            key.startswith("understudy:job:") and self._redis.hget(key, "status") not in FINAL_STATES
        ):
            return []  # gone meanwhile; or a training that is not over, which would be taken for a lost one
        left = int(self._redis.pttl(key))
        return list(self._lines(key, kind, {"ttl": left} if left > 0 else {}))

    def _lines(self, key: str, kind: str, ending: Ending) -> Iterator[Line]:
        match kind:
            case "string":
                yield {"key": key, "type": "string", **ending, "value": self._redis.get(key)}
            case "hash":
                fields: dict[str, str] = dict(self._redis.hscan_iter(key, count=REDIS_BATCH_KEYS))
                for part in _portions(list(fields.items())):
                    yield {"key": key, "type": "hash", **ending, "items": part}
            case "set":
                for members in _portions(sorted(set(self._redis.sscan_iter(key, count=REDIS_BATCH_KEYS)))):
                    yield {"key": key, "type": "set", **ending, "items": members}
            case "zset":
                scores: dict[str, float] = dict(self._redis.zscan_iter(key, count=REDIS_BATCH_KEYS))
                for scored in _portions(list(scores.items())):
                    yield {"key": key, "type": "zset", **ending, "items": scored}
            case "list" | "stream":
                yield from self._ordered_lines(key, kind == "stream", ending)

    def _ordered_lines(self, key: str, stream: bool, ending: Ending) -> Iterator[Line]:
        """Of a list, or a stream."""
        if stream:
            for entries in _portions(list(self._entries(key))):
                yield {"key": key, "type": "stream", **ending, "items": entries}
            return
        for members in _portions(self._redis.lrange(key, 0, -1)):
            yield {"key": key, "type": "list", **ending, "items": members}

    def _entries(self, key: str) -> Iterator[tuple[str, dict[str, str]]]:
        last = "-"
        while found := self._redis.xrange(key, min=last, count=REDIS_BATCH_KEYS):
            yield from found
            last = f"({found[-1][0]}"

    @guarded
    def _read_examples(self, project: int) -> Iterator[Line]:
        keys = [project_key(project, name) for name in EXAMPLE_KEYS]
        seq, whole = int(self._redis.get(keys[4]) or 0), False
        tables: list[dict[str, str]] = [dict(self._redis.hscan_iter(key, count=REDIS_BATCH_KEYS)) for key in keys[:3]]
        log = {str(name): score for name, score in self._redis.zscan_iter(keys[3], count=REDIS_BATCH_KEYS)}
        while not whole:
            upto, rows = self._changes(keys=keys, args=[seq, REDIS_BATCH_KEYS])
            seq, whole = int(upto), len(rows) < REDIS_BATCH_KEYS
            for name, score, *values in rows:
                log[name] = float(score)
                for table, value in zip(tables, values, strict=True):
                    table.update({name: value}) if value else table.pop(name, None)
        yield {"key": keys[4], "type": "string", "value": str(seq)}
        for key, table in zip(keys, tables, strict=False):
            for fields in _portions(list(table.items())):
                yield {"key": key, "type": "hash", "items": fields}
        for scores in _portions(list(log.items())):
            yield {"key": keys[3], "type": "zset", "items": scores}


def _portions(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + REDIS_BATCH_KEYS] for start in range(0, len(items), REDIS_BATCH_KEYS))


def _write(pipeline: Client, line: Line) -> None:
    key = str(line["key"])
    if line["type"] == "string":
        pipeline.set(key, line["value"])
    elif line["type"] == "hash":
        pipeline.hset(key, mapping=dict(line["items"]))
        _write_owners(pipeline, key, line["items"])
    elif line["type"] == "zset":
        pipeline.zadd(key, dict(line["items"]))
    elif line["type"] == "stream":
        for stamp, fields in line["items"]:
            pipeline.xadd(key, fields, id=stamp)
    elif line["type"] == "set":
        pipeline.sadd(key, *line["items"])
    elif line["type"] == "list":
        pipeline.rpush(key, *line["items"])
    if left := line.get("ttl"):
        pipeline.pexpire(key, left)


def _write_owners(pipeline: Client, key: str, items: Iterable[tuple[str, str]]) -> None:
    """From annotation -> task the annotations of each task."""
    match = _OF_PROJECT.fullmatch(key)
    if match and match[2] == "task":
        for annotation, task in items:
            pipeline.sadd(project_key(int(match[1]), f"bytask:{task}"), annotation)
