"""Which spans were suggested for which task: an annotation says what was removed only by what it lacks."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

from backend.labelstudio.spans.interactive import Memory
from backend.labelstudio.spans.regions import SentSpan
from backend.redis_access.connection import UNREADABLE, Client, Script, guarded
from backend.redis_access.keys import project_key

SUGGESTED_TASKS = 100_000
"""Tasks of a project whose suggestions are kept, the last ones: a whole project that was predicted at once. With ten
spans a task that is 70 MB of Redis after one version, 170 MB when three have answered all of them (.7 and 1.7 kB a
task). Of older ones a removal is not known."""

CALL_TASKS = 500
"""Tasks that are written in one call: a few milliseconds of Redis."""

MEMORY_SECONDS = 7 * 24 * 3600
"""For which a task that is marked interactively remembers what was removed."""

VERSIONS_KEPT = 3
"""Versions of one task: a page that is open for long began with an older one."""


class SuggestionStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client) -> None:
        self._redis = client
        self._keep = Script(client, Path(__file__).with_name("suggested.lua").read_text(encoding="utf-8"))

    @guarded
    def keep(self, project: int, version: str, suggested: Mapping[int, Sequence[SentSpan]]) -> None:
        """What `version` suggested, also where that is nothing. Several processes may do so at once."""
        keys = [project_key(project, "suggested"), project_key(project, "suggested:order")]
        pairs = [(str(task), _write(spans)) for task, spans in suggested.items()]
        for start in range(0, len(pairs), CALL_TASKS):
            own = [part for pair in pairs[start : start + CALL_TASKS] for part in pair]
            self._keep(keys, [version, time.time(), VERSIONS_KEPT, SUGGESTED_TASKS, *own])

    @guarded
    def memory(self, project: int, task: int) -> Memory:
        """What interactive marking has suggested in a task, and what was removed there."""
        text = self._redis.get(project_key(project, f"marks:{int(task)}"))
        try:
            return Memory.from_json(json.loads(text)) if text else Memory()
        except UNREADABLE:
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


def _write(spans: Sequence[SentSpan]) -> str:
    return json.dumps([astuple(one) for one in spans], separators=(",", ":"))


def _read(text: str | None) -> dict[str, list[SentSpan]]:
    """Version -> spans; none where they are of another release: then no removal is known."""
    found: dict[str, list[SentSpan]] = {}
    for line in (text or "").split("\n"):
        version, tab, spans = line.partition("\t")
        try:
            known = {version: json.loads(spans)} if tab else json.loads(line)
            for name, rows in known.items():
                found.pop(name, None)
                found[name] = [SentSpan.from_row(*row) if tab else SentSpan.from_json(row) for row in rows]
        except UNREADABLE:
            continue
    return dict(list(found.items())[-VERSIONS_KEPT:])
