"""Which spans were suggested for which task: an annotation says what was removed only by what it lacks."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence

from backend.labelstudio.spans.interactive import Memory
from backend.labelstudio.spans.regions import SentSpan
from backend.redis_access.connection import Client, guarded
from backend.redis_access.keys import project_key

SUGGESTED_TASKS = 20_000
"""Tasks of a project whose suggestions are kept, the last ones: about 10 MB. Of older ones a removal is not known."""

MEMORY_SECONDS = 7 * 24 * 3600
"""For which a task that is marked interactively remembers what was removed."""

VERSIONS_KEPT = 3
"""Versions of one task: a page that is open for long began with an older one."""


class SuggestionStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client) -> None:
        self._redis = client

    @guarded
    def keep(self, project: int, version: str, suggested: Mapping[int, Sequence[SentSpan]]) -> None:
        """What `version` suggested, also where that is nothing."""
        key, order, now = project_key(project, "suggested"), project_key(project, "suggested:order"), time.time()
        if not suggested:
            return
        tasks = list(suggested)
        pipeline = self._redis.pipeline(transaction=True)
        for task, text in zip(tasks, self._redis.hmget(key, [str(task) for task in tasks]), strict=True):
            known = _read(text)
            known.pop(version, None)
            known[version] = list(suggested[task])
            kept = {name: [one.to_json() for one in spans] for name, spans in list(known.items())[-VERSIONS_KEPT:]}
            pipeline.hset(key, str(task), json.dumps(kept, separators=(",", ":")))
            pipeline.zadd(order, {str(task): now})
        pipeline.execute()
        excess = int(self._redis.zcard(order)) - SUGGESTED_TASKS
        if excess > 0:
            old = self._redis.zrange(order, 0, excess - 1)
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.hdel(key, *old)
            pipeline.zrem(order, *old)
            pipeline.execute()

    @guarded
    def memory(self, project: int, task: int) -> Memory:
        """What interactive marking has suggested in a task, and what was removed there."""
        text = self._redis.get(project_key(project, f"marks:{int(task)}"))
        try:
            return Memory.from_json(json.loads(text)) if text else Memory()
        except (KeyError, TypeError, ValueError):
            return Memory()  # of another release: what was removed may come once more

    @guarded
    def keep_memory(self, project: int, task: int, memory: Memory) -> None:
        """For MEMORY_SECONDS after the last mark."""
        text = json.dumps(memory.to_json(), separators=(",", ":"))
        self._redis.set(project_key(project, f"marks:{int(task)}"), text, ex=MEMORY_SECONDS)

    @guarded
    def of_tasks(self, project: int, tasks: Sequence[int]) -> dict[int, dict[str, list[SentSpan]]]:
        """Task -> version -> spans, the last version last; tasks of which nothing is known are missing."""
        if not tasks:
            return {}
        values = self._redis.hmget(project_key(project, "suggested"), [str(task) for task in tasks])
        found = {task: _read(text) for task, text in zip(tasks, values, strict=True)}
        return {task: known for task, known in found.items() if known}


def _read(text: str | None) -> dict[str, list[SentSpan]]:
    """Version -> spans; none where they are of another release: then no removal is known."""
    try:
        known = json.loads(text or "{}")
        return {version: [SentSpan.from_json(one) for one in spans] for version, spans in known.items()}
    except (AttributeError, TypeError, ValueError):
        return {}
