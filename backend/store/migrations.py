"""The shape of what is stored, by number, and the way from each shape to the next.

A step may be killed and run again, and may meet what is in the new shape already. What a newer understudy has written
is refused: it may mean something else.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from backend.errors import StoreUnavailable
from backend.redis_access.connection import Client, guarded
from backend.redis_access.keys import MIGRATING, PROJECTS, SCHEMA, project_key
from backend.redis_access.leases import Leases
from backend.store.projects import mark_dirty

log = logging.getLogger(__name__)

LOCK_SECONDS = 60.0
"""Prolonged with each project."""


@dataclass(frozen=True)
class Step:
    """From schema `number - 1` to `number`, one project at a time."""

    number: int
    what: str
    run: Callable[[Client, int], None]


def migrate_sync(entry: dict[str, Any]) -> dict[str, Any]:
    """The last reconciliation, as releases before schema 2 kept it: only whether it failed, and what it changed."""
    if not entry or entry.get("error") or "ok_at" in entry:
        return entry
    return {**entry, "ok_at": entry.get("at", 0), "drift": entry.get("changed", 0)}


def migrate_row(row: dict[str, Any]) -> dict[str, Any]:
    """A test-then-train row without the fine-tune that answered: its version's name tells (`v3.17`: v3)."""
    if "tuned" in row:
        return row
    owner = str(row.get("version", "")).partition(".")[0]
    return {**row, "tuned": None if owner in ("", "v0") else owner}


def _complete_sync_and_rows(client: Client, project: int) -> None:
    meta, evidence, curve = (project_key(project, name) for name in ("meta", "evidence", "curve"))
    before = client.hget(meta, "sync")
    if before is not None:
        client.hset(meta, "sync", json.dumps(migrate_sync(json.loads(before))))
    rows = [json.loads(text) for text in client.lrange(evidence, 0, -1)]
    pipeline = client.pipeline(transaction=True)
    for place, row in enumerate(rows):
        if (complete := migrate_row(row)) != row:
            pipeline.lset(evidence, place, json.dumps(complete, separators=(",", ":")))
    if rows and not client.exists(curve):
        from model.evidence.learning_curve import tally
        from model.evidence.row import EvidenceRow

        for name, value in tally(map(EvidenceRow.from_json, rows)).items():
            pipeline.hincrbyfloat(curve, name, value)
    if len(pipeline):
        pipeline.execute()


def _ask_for_blanks(client: Client, project: int) -> None:
    """Annotations that leave a question blank were not kept before schema 3: Label Studio has them."""
    mark_dirty(client, project, "what was left blank counts by now")


STEPS = (
    Step(2, "reconciliations say when one last succeeded; rows name their fine-tune", _complete_sync_and_rows),
    Step(3, "what was left blank is kept as an answer", _ask_for_blanks),
)

CURRENT = STEPS[-1].number


@guarded
def find_schema(client: Client) -> int:
    """The stored schema's number. Stores of before there were numbers are 1; an empty one is as new as this code."""
    found = client.get(SCHEMA)
    if found is not None:
        return int(found)
    return 1 if client.exists(PROJECTS) else CURRENT


@guarded
def migrate(client: Client, steps: tuple[Step, ...] = STEPS) -> list[int]:
    """Brings the store to the newest of `steps`, or waits for the process that does; the numbers of the steps taken.

    Raises StoreUnavailable for a store that a newer understudy has written."""
    newest, owner, leases = steps[-1].number, secrets.token_hex(8), Leases(client)
    while (found := find_schema(client)) < newest:
        if not leases.hold(MIGRATING, owner, LOCK_SECONDS):
            time.sleep(0.2)
            continue
        due = [step for step in steps if step.number > found]
        try:
            for step in due:
                _take(client, step, leases, owner)
        finally:
            client.delete(MIGRATING)
        return [step.number for step in due]
    if found > newest:
        raise StoreUnavailable(
            f"this Redis was written by a newer understudy (schema {found}, this one knows {newest}): upgrade, or "
            "restore a backup that was made before the upgrade"
        )
    client.set(SCHEMA, found, nx=True)
    return []


def _take(client: Client, step: Step, leases: Leases, owner: str) -> None:
    for project in sorted(int(item) for item in client.smembers(PROJECTS)):
        leases.hold(MIGRATING, owner, LOCK_SECONDS)
        step.run(client, project)
    client.set(SCHEMA, step.number)
    log.warning("store migrated to schema %s: %s", step.number, step.what)
