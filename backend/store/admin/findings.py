"""What `understudy doctor` found last, of the installation and of each project, and whether it looks again."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TypedDict

from backend.redis_access.connection import Client, guarded
from backend.redis_access.job_kinds import EXAMINE
from backend.redis_access.job_queue import JobQueue
from backend.redis_access.keys import EXAMINING, FINDINGS
from backend.redis_access.leases import Leases

INSTALLATION = 0
"""In the place of a project: what holds for all of them."""

ASKED_SECONDS = 600
"""An examination that has not ended is asked for again after this time: its worker may be dead."""


class Finding(TypedDict):
    """A verdict: `state` ok, warn, fail or skipped; `evidence`: what was seen; `remedy`: what to do."""

    check: str
    state: str
    evidence: str
    remedy: str


class Report(TypedDict):
    """`at`: epoch seconds."""

    at: float
    findings: list[Finding]


class FindingStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client, queue: JobQueue) -> None:
        self._redis, self._queue, self._leases = client, queue, Leases(client)

    @guarded
    def save(self, found: Mapping[int, Sequence[Finding]], projects: Collection[int]) -> None:
        """In place of what was known of these; of those that are no `projects` any more nothing is kept."""
        now = round(time.time(), 1)
        reports = {str(of): json.dumps(Report(at=now, findings=list(own))) for of, own in found.items()}
        self._redis.hset(FINDINGS, mapping=reports)
        kept = {str(of) for of in (INSTALLATION, *projects)}
        if gone := [of for of in self._redis.hkeys(FINDINGS) if of not in kept]:
            self._redis.hdel(FINDINGS, *gone)

    @guarded
    def read(self, project: int = INSTALLATION) -> Report | None:
        """None before the first examination."""
        text = self._redis.hget(FINDINGS, str(project))
        return None if text is None else json.loads(text)

    @guarded
    def read_many(self, projects: Sequence[int]) -> dict[int, Report]:
        """Of those of these that were examined."""
        texts = self._redis.hmget(FINDINGS, [str(of) for of in projects])
        return {of: json.loads(text) for of, text in zip(projects, texts, strict=True) if text is not None}

    @guarded
    def read_all(self) -> dict[int, Report]:
        """Of every project that was examined, and the installation."""
        return {int(of): json.loads(text) for of, text in self._redis.hgetall(FINDINGS).items()}

    def oldest(self, projects: Sequence[int], count: int) -> list[int]:
        """So many of these, those first that were examined longest ago, or never."""
        known = {of: report["at"] for of, report in self.read_all().items()}
        return sorted(projects, key=lambda project: (known.get(project, 0.0), project))[:count]

    @guarded
    def request(self, project: int = INSTALLATION) -> bool:
        """Ask for an examination; False when one is asked for already and has not ended."""
        if not self._leases.take(f"{EXAMINING}{project}", ASKED_SECONDS):
            return False
        self._queue.enqueue(EXAMINE, project)
        return True

    @guarded
    def end(self, project: int = INSTALLATION) -> None:
        """It has ended: another one may be asked for."""
        self._redis.delete(f"{EXAMINING}{project}")

    @guarded
    def is_asked(self, project: int = INSTALLATION) -> bool:
        """Whether an examination is on its way."""
        return bool(self._redis.exists(f"{EXAMINING}{project}"))
