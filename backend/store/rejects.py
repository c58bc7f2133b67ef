"""Why tasks, labels and requests came to nothing, project by project: few kinds, with the tasks that were met.

What belongs to an earlier label config is dropped as soon as the config changes; the rest fades with time.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backend.labelstudio.reject_limits import TASKS_REMEMBERED
from backend.record_json import RejectEntry
from backend.redaction import hide_secrets
from backend.redis_access.connection import Client, Script, guarded
from backend.redis_access.keys import project_key

KINDS_KEPT = 30
"""Kept for each project."""

FADING_SECONDS = {"tasks": 86_400.0, "labels": 7 * 86_400.0, "requests": 86_400.0}
"""Seconds after the last of its kind."""

OF_NO_PROJECT = 0

_ADD = """
-- KEYS: rejects    ARGV: id, entry without counts (JSON), now, times, most kinds, most tasks, seconds to keep, tasks…
local known = redis.call('HGET', KEYS[1], ARGV[1])
local entry = cjson.decode(ARGV[2])
entry.first, entry.times, entry.tasks, entry.count = tonumber(ARGV[3]), 0, {}, 0
if known then
  local before = cjson.decode(known)
  if before.config == entry.config then entry = before end
end
for index = 8, #ARGV do
  if not entry.tasks[ARGV[index]] and entry.count < tonumber(ARGV[6]) then
    entry.tasks[ARGV[index]] = 1
    entry.count = entry.count + 1
  end
end
entry.times = entry.times + tonumber(ARGV[4])
entry.last = tonumber(ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(entry))
redis.call('EXPIRE', KEYS[1], ARGV[7])
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[5]) then
  local oldest, at = nil, nil
  local all = redis.call('HGETALL', KEYS[1])
  for index = 1, #all, 2 do
    local last = cjson.decode(all[index + 1]).last
    if at == nil or last < at then oldest, at = all[index], last end
  end
  redis.call('HDEL', KEYS[1], oldest)
end
return 1
"""


@dataclass(frozen=True)
class RejectRow:
    """`where`: tasks, labels or requests. `times`: how often, of how many tasks ever."""

    where: str
    code: str
    words: str
    times: int = 1
    tasks: Sequence[int] = ()


class RejectStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client) -> None:
        self._redis, self._add = client, Script(client, _ADD)

    @guarded
    def add(self, project: int, rows: Iterable[RejectRow]) -> None:
        config = self._config(project)
        for row in rows:
            words = hide_secrets(row.words)
            named = hashlib.sha1(f"{row.where} {row.code} {words}".encode("utf-8", "replace"), usedforsecurity=False)
            entry = {"where": row.where, "code": row.code, "words": words, "config": config}
            fixed = [named.hexdigest()[:16], json.dumps(entry), time.time(), row.times, KINDS_KEPT, TASKS_REMEMBERED]
            keep = int(max(FADING_SECONDS.values()))
            self._add(keys=[self._key(project)], args=[*fixed, keep, *list(row.tasks)[:TASKS_REMEMBERED]])

    @guarded
    def read(self, project: int) -> list[RejectEntry]:
        """What is still of now, the most frequent first."""
        config, now = self._config(project), time.time()
        entries = [json.loads(text) for text in self._redis.hvals(self._key(project))]
        found: list[RejectEntry] = [
            {
                "where": entry["where"],
                "code": entry["code"],
                "words": entry["words"],
                "times": entry["times"],
                "first": entry["first"],
                "last": entry["last"],
                "tasks": entry["count"],
            }
            for entry in entries
            if now - entry["last"] < FADING_SECONDS.get(entry["where"], 0.0)
            and (entry["where"] == "requests" or entry["config"] == config)
        ]
        return sorted(found, key=lambda entry: (-max(entry["tasks"], 1), entry["words"]))

    @guarded
    def forget_labels(self, project: int, before: float) -> None:
        """A whole reconciliation began at `before` (epoch seconds) and has counted anew what it could not use."""
        key = self._key(project)
        for name, text in self._redis.hgetall(key).items():
            entry = json.loads(text)
            if entry["where"] == "labels" and entry["last"] < before:
                self._redis.hdel(key, name)

    def _config(self, project: int) -> str:
        config = self._redis.hget(project_key(project, "cfg"), "label_config") or ""
        return hashlib.sha1(str(config).encode("utf-8", "replace"), usedforsecurity=False).hexdigest()[:16]

    def _key(self, project: int) -> str:
        return project_key(project, "rejects")
