"""Exports that run or ran last: one a project at a time. RQ's queue only carries the call: the scheduler sends again
what it loses. What they made lies on disk (backend/export/archive)."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import NotRequired, TypedDict, cast

from backend.outcomes import FINAL_STATES, JobOutcome
from backend.redaction import hide_secrets
from backend.redis_access.connection import Client, Script, guarded
from backend.redis_access.job_kinds import EXPORT
from backend.redis_access.job_queue import JobQueue
from backend.redis_access.keys import project_key
from backend.redis_access.leases import Leases
from backend.redis_access.staleness import Staleness
from backend.store.work.run_scripts import CHANGE, CREATE, pairs

EXPORT_ATTEMPTS = 3
"""Times that an export is begun and its process or worker dies, before it counts as failed."""

LEASE_SECONDS = 30.0
"""A worker that exports says so more often than this; after so long without it another one may begin."""

SENT_SECONDS = 5.0
"""A call that was sent is in RQ's hands after this long, or was lost on the way."""

MESSAGE_CHARACTERS = 500


Fields = Mapping[str, str | float | None]
"""Of a record, by name."""


class Wanted(TypedDict):
    """What is exported: a control of a version, how, and whether also where it answers otherwise; `texts`: most that
    answers are compared on, `minutes`: most that distilling takes."""

    format: str
    version: str
    control: str
    int8: bool
    accept_loss: bool
    texts: int
    minutes: float


class Export(Wanted):
    """`status`: queued, running, done, failed or cancelled; `stage`, `step` of `of`: how far it is; `error`: the code
    of what it failed of. Times in epoch seconds."""

    id: str
    status: str
    by: str
    project: int
    asked_at: float
    attempts: int
    stage: NotRequired[str]
    step: NotRequired[int]
    of: NotRequired[int]
    seconds_left: NotRequired[float | None]
    message: NotRequired[str]
    error: NotRequired[str]
    ended_at: NotRequired[float]


class ExportStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client, queue: JobQueue) -> None:
        self._redis, self._queue = client, queue
        self._leases, self.still = Leases(client), Staleness()
        self._change, self._create = Script(client, CHANGE), Script(client, CREATE)

    @guarded
    def request(self, project: int, by: str, wanted: Wanted) -> tuple[Export, bool]:
        """(the export, whether it is new): the one that is not over when there is one, whatever it makes."""
        fields: Export = {
            "format": wanted["format"],
            "version": wanted["version"],
            "control": wanted["control"],
            "int8": wanted["int8"],
            "accept_loss": wanted["accept_loss"],
            "texts": wanted["texts"],
            "minutes": wanted["minutes"],
            "id": f"export-{project}-{secrets.token_hex(5)}",
            "status": "queued",
            "by": by,
            "project": project,
            "asked_at": time.time(),
            "attempts": 0,
        }
        keys = [project_key(project, name) for name in ("export", "export:call")]
        created = bool(self._create(keys=keys, args=pairs(fields)))
        if created:
            self.send(project, fields["id"])
        return self.find(project) or fields, created

    @guarded
    def find(self, project: int) -> Export | None:
        """The newest one; None before the first."""
        values = self._redis.hgetall(project_key(project, "export"))
        return cast(Export, {name: json.loads(text) for name, text in values.items()}) if values else None

    def running(self, projects: Iterable[int]) -> dict[int, Export]:
        """Project -> the export that is not over, of those that have one."""
        found = {project: self.find(project) for project in projects}
        return {project: record for project, record in found.items() if record and record["status"] not in FINAL_STATES}

    @guarded
    def change(self, project: int, export: str, fields: Fields) -> bool:
        """Set fields of an export; whether it is still the newest, and was not over."""
        return bool(self._change(keys=[project_key(project, "export")], args=[json.dumps(export), *pairs(fields)]))

    def finish(self, project: int, export: str, status: JobOutcome, message: str = "", error: str = "") -> bool:
        """End an export; whether this call did."""
        said = hide_secrets(message)[:MESSAGE_CHARACTERS]
        fields: Fields = {
            "status": status,
            "message": said,
            "error": error,
            "ended_at": time.time(),
            "seconds_left": None,
        }
        return self.change(project, export, fields)

    @guarded
    def send(self, project: int, export: str) -> None:
        """Hand it to whichever trainer is free."""
        call = self._queue.enqueue(EXPORT, project, export)
        self._redis.set(project_key(project, "export:call"), call)

    @guarded
    def hold(self, project: int, owner: str) -> bool:
        """Whether the project's export is `owner`'s for the next LEASE_SECONDS."""
        return self._leases.hold(self._lease(project), owner, LEASE_SECONDS)

    @guarded
    def release(self, project: int, owner: str) -> None:
        """Free it for another worker."""
        self._leases.release(self._lease(project), owner)

    @guarded
    def lost(self, project: int) -> str:
        """The export that is not over, that nobody works on and that waits nowhere: RQ lost it, or its worker died.
        "" where there is none."""
        record = self.find(project)
        if record is None or record["status"] in FINAL_STATES:
            return ""
        call = str(self._redis.get(project_key(project, "export:call")))
        works = self._leases.left(self._lease(project), LEASE_SECONDS) > 0
        if self.still.seconds(record["id"], f"{call} {works}") <= SENT_SECONDS or works:
            return ""
        return "" if self._queue.is_waiting(call) else record["id"]

    def _lease(self, project: int) -> str:
        return project_key(project, "export:lease")
