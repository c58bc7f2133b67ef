"""The example store: every human annotation, keyed by its id, ordered by Label Studio's own time stamp.

Key schema and invariants I1 to I7: docs/store.md. Every change is one Lua script; replies are sent only after it ran.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backend.labelstudio.records import ExampleRecord
from backend.redis_access.connection import UNREADABLE, Client, Script, guarded
from backend.redis_access.keys import project_key
from backend.store.projects import mark_dirty

log = logging.getLogger(__name__)

CHANGING_OUTCOMES = frozenset({"stored", "cleared", "deleted"})
"""Outcomes that a model should hear of."""

REDIS_BATCH_ITEMS = 500
"""Values read in one go: bounds the memory of a reply, and the milliseconds for which Redis answers nobody else."""

TRANSACTION_ITEMS = 100
"""Changes made by one script, in about 2 ms: with AOF always each script waits for the disk once (5,000 labels of one
event took 2.1 s in a pipeline of single changes, .5 s so)."""


@dataclass(frozen=True)
class Snapshot:
    """The examples at one moment; `seq` numbers the last change that is in it."""

    records: tuple[ExampleRecord, ...]
    seq: int
    damaged: tuple[int, ...] = ()


class ExampleStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client) -> None:
        self._redis = client
        self.changes = time.time_ns()
        """Grows with each change that this process makes: whoever has shown what there was need not ask Redis."""
        folder = Path(__file__).parent
        self._script = Script(client, (folder / "examples.lua").read_text(encoding="utf-8"))
        self._since = Script(client, (folder / "since.lua").read_text(encoding="utf-8"))

    @guarded
    def upsert_many(self, project: int, records: Sequence[ExampleRecord], *, restore: str = "") -> list[str]:
        """The outcome for each record: stored, cleared, unchanged, duplicate, empty, stale or deleted.

        `restore`: a `clock()` reading before which a tombstone gives way, for records seen in Label Studio since."""
        arguments = [
            ["upsert", self._prefix(project), r.annotation, r.version, r.task, _encode(r), restore] for r in records
        ]
        return self._run(project, arguments)

    @guarded
    def remove(self, project: int, annotations: Iterable[int], *, before: int | None = None) -> list[str]:
        """Delete and bury; the outcome for each: deleted, absent, or newer when it changed after seq `before`."""
        limit = "" if before is None else before
        return self._run(project, [["delete", self._prefix(project), item, limit] for item in annotations])

    @guarded
    def remove_tasks(self, project: int, tasks: Iterable[int]) -> list[str]:
        """Delete and bury all annotations of these tasks, also those whose first event is still under way."""
        buried = self._run(project, [["bury", self._prefix(project), task] for task in tasks])
        found = sorted({int(item) for members in buried for item in members})
        return self._run(project, [["delete", self._prefix(project), item, ""] for item in found])

    def reconcile(
        self, project: int, records: Sequence[ExampleRecord], since: int, clock: str, unread: Iterable[int] = ()
    ) -> Counter[str]:
        """Make the store equal to a complete listing that began at seq `since` and time `clock`; outcomes counted.

        What changed after the listing began is newer than it, and stays. `unread`: listed, but not understood."""
        known = self._with_removals(project, records)
        outcomes = Counter(self.upsert_many(project, known, restore=clock))
        listed = {*unread, *(record.annotation for record in records)}
        gone = sorted(self.ids(project) - listed)
        outcomes.update("removed" if o == "deleted" else o for o in self.remove(project, gone, before=since))
        return outcomes

    def _with_removals(self, project: int, records: Sequence[ExampleRecord]) -> list[ExampleRecord]:
        """The records with what their annotators took away, as it was stored when they did: a listing says so only as
        long as nothing else was suggested since."""
        marked = [record.annotation for record in records if record.spans]
        stored: dict[int, str | None] = {}
        for start in range(0, len(marked), REDIS_BATCH_ITEMS):
            some = marked[start : start + REDIS_BATCH_ITEMS]
            stored.update(zip(some, self._redis.hmget(project_key(project, "ex"), some), strict=True))
        return [_with_removal(record, stored.get(record.annotation)) for record in records]

    @guarded
    def snapshot(self, project: int) -> Snapshot:
        """All examples, and the seq that covers exactly them. Damaged records are left out and reported.

        Read by portions, so that Redis answers others in between: 100,000 in one reply keep every webhook waiting. What
        changed meanwhile is read again, the last of it along with its seq in one step."""
        keys = [project_key(project, name) for name in ("ex", "log", "seq")]
        before = self.seq(project)
        values: dict[str, str] = dict(self._redis.hscan_iter(keys[0], count=REDIS_BATCH_ITEMS))
        seq, whole = before, False
        while not whole:
            seq, ids, changed = self._since(keys=keys, args=[seq, REDIS_BATCH_ITEMS])
            values.update(zip(ids, changed, strict=True))
            whole = len(ids) < REDIS_BATCH_ITEMS
        values = {name: value for name, value in values.items() if value}  # "": gone meanwhile
        records: list[ExampleRecord] = []
        damaged: list[int] = []
        for name in sorted(values, key=int):
            record = _decode(values[name])
            if record is None:
                damaged.append(int(name))
            else:
                records.append(record)
        if damaged:
            log.error("examples damaged: project %s, annotations %s", project, damaged[:20])
            mark_dirty(self._redis, project, "stored annotations are damaged")
        return Snapshot(tuple(records), int(seq or 0), tuple(damaged))

    @guarded
    def of_task(self, project: int, task: int) -> tuple[ExampleRecord, ...]:
        """The examples of one task, by annotation id, without damaged ones; costs the same however many there are."""
        ids = sorted(int(item) for item in self._redis.smembers(f"{self._prefix(project)}{int(task)}"))
        values = self._redis.hmget(project_key(project, "ex"), ids) if ids else []
        return tuple(record for value in values if value is not None and (record := _decode(value)) is not None)

    @guarded
    def newest(self, project: int, count: int) -> list[ExampleRecord]:
        """The examples that changed last, the newest first, of `count` changes: damaged and deleted ones are left out.
        Costs the same however many there are."""
        ids = self._redis.zrevrange(project_key(project, "log"), 0, max(0, count - 1)) if count else []
        return self.read_many(project, [int(item) for item in ids])[0]

    @guarded
    def task_pairs(self, project: int) -> array[int]:
        """Task and annotation of each in turn (16 bytes), skipped and empty ones among them; in no order, and one may
        come twice."""
        found = array("q")
        for name, task in self._redis.hscan_iter(project_key(project, "task"), count=REDIS_BATCH_ITEMS):
            found.extend((int(task), int(name)))
        return found

    @guarded
    def read_many(self, project: int, annotations: Sequence[int]) -> tuple[list[ExampleRecord], list[int]]:
        """Those of the annotations that are there and teach something, and the ids of the damaged ones."""
        found: list[ExampleRecord] = []
        damaged: list[int] = []
        for start in range(0, len(annotations), REDIS_BATCH_ITEMS):
            portion = annotations[start : start + REDIS_BATCH_ITEMS]
            for name, value in zip(portion, self._redis.hmget(project_key(project, "ex"), portion), strict=True):
                record = _decode(value) if value else None
                if record is not None:
                    found.append(record)
                elif value:
                    damaged.append(name)
        return found, damaged

    @guarded
    def changed_since(self, project: int, seq: int) -> set[int]:
        """Annotations changed or deleted after `seq`."""
        return {int(item) for item in self._redis.zrangebyscore(project_key(project, "log"), f"({seq}", "+inf")}

    @guarded
    def pending(self, project: int) -> int:
        """Annotations changed since the snapshot of the newest trained model (I4)."""
        trained = int(self._redis.get(project_key(project, "trained")) or 0)
        return int(self._redis.zcount(project_key(project, "log"), f"({trained}", "+inf"))

    @guarded
    def ids(self, project: int) -> set[int]:
        """Annotations known, also those that teach nothing (skipped, empty)."""
        return {int(name) for name, _ in self._redis.hscan_iter(project_key(project, "ver"), count=REDIS_BATCH_ITEMS)}

    @guarded
    def touched(self, project: int) -> set[int]:
        """Tasks that are answered or skipped."""
        return {int(task) for _, task in self._redis.hscan_iter(project_key(project, "task"), count=REDIS_BATCH_ITEMS)}

    @guarded
    def answered(self, project: int, tasks: Sequence[int]) -> set[int]:
        """Which of these tasks are answered or skipped."""
        found: set[int] = set()
        for start in range(0, len(tasks), REDIS_BATCH_ITEMS):
            portion = tasks[start : start + REDIS_BATCH_ITEMS]
            pipeline = self._redis.pipeline(transaction=False)
            for task in portion:
                pipeline.exists(f"{self._prefix(project)}{task}")
            found.update(task for task, known in zip(portion, pipeline.execute(), strict=True) if known)
        return found

    @guarded
    def answers(self, project: int) -> int:
        """How many annotations are known, skipped and empty ones among them."""
        return int(self._redis.hlen(project_key(project, "task")))

    @guarded
    def count(self, project: int) -> int:
        return int(self._redis.hlen(project_key(project, "ex")))

    @guarded
    def seq(self, project: int) -> int:
        """Number of the last change."""
        return int(self._redis.get(project_key(project, "seq")) or 0)

    @guarded
    def clock(self, project: int) -> str:
        """What tombstones are stamped with: Redis's time in microseconds, made to grow with every reading."""
        return str(self._run(project, [["clock"]])[0])

    def _run(self, project: int, calls: Sequence[Sequence[Any]]) -> list[Any]:
        """The outcomes of calls that take the same number of arguments."""
        outcomes: list[Any] = []
        for start in range(0, len(calls), TRANSACTION_ITEMS):
            portion = calls[start : start + TRANSACTION_ITEMS]
            arguments = [len(portion[0]), *(argument for call in portion for argument in call)]
            outcomes += self._script(keys=_keys(project), args=arguments)
            self.changes += 1
        return outcomes

    def _prefix(self, project: int) -> str:
        return project_key(project, "bytask:")


def _keys(project: int) -> list[str]:
    """What examples.lua works on."""
    return [project_key(project, name) for name in ("ex", "ver", "task", "log", "seq", "tomb", "tasktomb", "clock")]


def _encode(record: ExampleRecord) -> str:
    """The stored value: 16 hex digits of sha256, then JSON. "" for an annotation that teaches nothing."""
    if not record.teaches:
        return ""
    text = json.dumps(record.to_json(), ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return _digest(text) + text


def _with_removal(record: ExampleRecord, value: str | None) -> ExampleRecord:
    """The record with the removals of the stored `value`, where that is of the same state of the annotation."""
    stored = _decode(value) if value and '"removed"' in value else None
    if stored is None or (stored.version, stored.spans) != (record.version, record.spans):
        return record
    return replace(record, removed=stored.removed)


def _decode(value: str) -> ExampleRecord | None:
    """The record, None when a bit of it was lost: an append-only file with flipped bytes loads without any error."""
    if value[:16] != _digest(value[16:]):
        return None
    try:
        return ExampleRecord.from_json(json.loads(value[16:]))
    except UNREADABLE:
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
