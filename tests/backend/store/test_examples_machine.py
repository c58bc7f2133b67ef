"""The example store against a plain dictionary: any order of events, redelivery, kill -9 of Redis (I1 to I6)."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from backend.labelstudio.records import ExampleRecord
from backend.settings.settings import Settings
from backend.store.stores import Stores
from tests.conftest import RedisServer

pytestmark = pytest.mark.redis

IDS = st.integers(1, 6)
TIMES = st.integers(0, 59)
LABELS = st.sampled_from(["A", "B", None])
SERVER: list[RedisServer] = []


def record_of(annotation: int, at: int, label: str | None) -> ExampleRecord:
    targets = {} if label is None else {"label": [[label]]}
    stamp = f"2026-01-01T00:00:{at:02d}Z"
    return ExampleRecord(annotation, 100 + annotation % 3, {"text": f"t{annotation}"}, targets, stamp)


class ExampleMachine(RuleBasedStateMachine):
    """`newest` is what Label Studio would list: annotation -> record; `buried` (annotations) and `buried_tasks` were
    deleted there."""

    @initialize()
    def start(self) -> None:
        self.stores = Stores(SERVER[0].settings)
        self.stores._redis.flushall()
        self.newest: dict[int, ExampleRecord] = {}
        self.buried: set[int] = set()
        self.buried_tasks: set[int] = set()
        self.changed: set[int] = set()
        self.published = 0

    def teardown(self) -> None:
        if hasattr(self, "stores"):
            self.stores.close()

    def _is_gone(self, annotation: int) -> bool:
        return annotation in self.buried or 100 + annotation % 3 in self.buried_tasks

    def _visible(self, annotation: int) -> Any:
        record = self.newest.get(annotation)
        return record.targets if record and record.targets else None

    @rule(annotation=IDS, at=TIMES, label=LABELS, copies=st.integers(1, 3))
    def deliver(self, annotation: int, at: int, label: str | None, copies: int) -> None:
        record = record_of(annotation, at, label)
        outcomes = self.stores.examples.upsert_many(7, [record] * copies)
        assert not set(outcomes[1:]) & {"stored", "cleared", "deleted"} or self._is_gone(annotation), "I1"
        if self._is_gone(annotation):
            assert set(outcomes) == {"deleted"}
            return
        known = self.newest.get(annotation)
        if known and known.version > record.version:
            assert outcomes[0] == "stale"
            return
        if known is None or known.targets or record.targets:
            old = known.to_json() if known and known.targets else None
            new = record.to_json() if record.targets else None
            if old != new:
                self.changed.add(annotation)
        self.newest[annotation] = record

    @rule(annotation=IDS)
    def delete(self, annotation: int) -> None:
        self.stores.examples.remove(7, [annotation])
        if self._visible(annotation) is not None:
            self.changed.add(annotation)
        self.newest.pop(annotation, None)
        self.buried.add(annotation)

    @rule(task=st.integers(100, 102))
    def delete_task(self, task: int) -> None:
        self.stores.examples.remove_tasks(7, [task])
        self.buried_tasks.add(task)
        for annotation in [a for a, record in self.newest.items() if record.task == task]:
            if self._visible(annotation) is not None:
                self.changed.add(annotation)
            self.newest.pop(annotation)
            self.buried.add(annotation)

    @rule(kept=st.sets(IDS))
    def resync(self, kept: set[int]) -> None:
        """A complete listing: holds `kept` of the known ones, and may show that a burial was false."""
        since, clock = self.stores.examples.seq(7), self.stores.examples.clock(7)
        listed = [self.newest.get(a) or record_of(a, 30, "B") for a in sorted(kept)]
        self.stores.examples.reconcile(7, listed, since, clock)
        for annotation in set(self.newest) - kept:
            if self._visible(annotation) is not None:
                self.changed.add(annotation)
            self.newest.pop(annotation)
            self.buried.add(annotation)
        for record in listed:
            if record.annotation not in self.newest:
                self.changed.add(record.annotation)
            self.newest[record.annotation] = record
            self.buried.discard(record.annotation)
            self.buried_tasks.discard(record.task)

    @rule()
    def train_and_publish(self) -> None:
        snapshot = self.stores.examples.snapshot(7)
        live = self.stores.versions.live(7)
        version = self.stores.versions.allocate(7, tuned=0)
        before = self.stores.versions.trained(7)
        assert self.stores.versions.publish(7, version, expected=live, seq=snapshot.seq, by="test") == "published"
        assert self.stores.versions.trained(7) >= before, "I6"
        self.changed.clear()

    @rule()
    def publish_against_another_live_version(self) -> None:
        before = (self.stores.versions.live(7), self.stores.versions.trained(7))
        outcome = self.stores.versions.publish(7, "v99.9", expected="v98.8", seq=10**9, by="test")
        assert outcome == "superseded"
        assert (self.stores.versions.live(7), self.stores.versions.trained(7)) == before

    @rule()
    def kill_redis(self) -> None:
        SERVER[0].kill()
        SERVER[0].start()

    @invariant()
    def store_equals_the_newest_of_each(self) -> None:
        if not hasattr(self, "stores"):
            return
        snapshot = self.stores.examples.snapshot(7)
        expected = {a: r.to_json() for a, r in self.newest.items() if r.targets}
        assert {r.annotation: r.to_json() for r in snapshot.records} == expected, "I2, I3"
        assert snapshot.seq == self.stores.examples.seq(7), "I5"
        assert self.stores.examples.pending(7) == len(self.changed), "I4"


@pytest.mark.slow
def test_the_store_is_the_fold_of_its_events(own_redis: RedisServer) -> None:
    SERVER[:] = [own_redis]
    run_state_machine_as_test(
        ExampleMachine,
        settings=settings(
            max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_redis_without_aof_is_refused(tmp_path: Path) -> None:
    import subprocess
    import time

    from backend.embedded_redis.binary import find_redis_server
    from backend.embedded_redis.server import answers
    from backend.errors import StoreUnavailable

    with tempfile.TemporaryDirectory(prefix="us-") as scratch:
        socket = Path(scratch) / "r.sock"
        config = Path(scratch) / "redis.conf"
        config.write_text(f'port 0\nunixsocket {socket}\ndir {scratch}\nlogfile ""\n')
        process = subprocess.Popen([find_redis_server(), str(config)], stdout=subprocess.DEVNULL)
        try:
            while not answers(socket):
                time.sleep(0.01)
            url = f"unix://{socket}?db=0"
            unsafe = Settings(data_dir=tmp_path, redis_url=url)
            with closing(Stores(unsafe)) as stores, pytest.raises(StoreUnavailable, match="appendonly is 'no'"):
                stores.verify()
            with closing(Stores(unsafe.model_copy(update={"allow_unsafe_redis": True}))) as stores:
                accepted = stores.verify()
            assert any("appendfsync" in problem for problem in accepted)
        finally:
            process.terminate()
            process.wait()
