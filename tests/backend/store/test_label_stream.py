"""Which of the last labels are of tasks that the queue handed out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backend.application.background import Background
from backend.backup.dump import Dump
from backend.rules.queue_share import hint_handed, is_bypassed
from backend.store import label_stream
from backend.store.label_stream import SHARE_LABELS, Handed
from backend.store.stores import Stores

pytestmark = pytest.mark.redis


def test_nothing_is_counted_before_the_first_queue(stores: Stores) -> None:
    stores.label_stream.note_labels(1, {1: 10})
    assert stores.label_stream.handed(1) == Handed(0, 0)
    stores.label_stream.hand_out(1, [10, 11])
    stores.label_stream.note_labels(1, {2: 10, 3: 12})
    assert stores.label_stream.handed(1) == Handed(2, 1)
    assert stores.label_stream.handed(2) == Handed(0, 0)


def test_a_label_that_comes_again_counts_once_and_as_it_was(stores: Stores) -> None:
    stores.label_stream.hand_out(1, [10])
    stores.label_stream.note_labels(1, {5: 11})
    stores.label_stream.hand_out(1, [11])
    stores.label_stream.note_labels(1, {5: 11})
    assert stores.label_stream.handed(1) == Handed(1, 0)


def test_the_last_labels_are_those_made_last(stores: Stores) -> None:
    """Whatever order they come in: ids of annotations grow."""
    stores.label_stream.hand_out(1, [1])
    stores.label_stream.note_labels(1, dict.fromkeys(range(100, 100 + SHARE_LABELS), 1))
    stores.label_stream.note_labels(1, dict.fromkeys(range(50, 90), 2))
    assert stores.label_stream.handed(1) == Handed(SHARE_LABELS, SHARE_LABELS)
    stores.label_stream.note_labels(1, {1000: 2, 1001: 2, 1002: 1})
    assert stores.label_stream.handed(1) == Handed(SHARE_LABELS, SHARE_LABELS - 2)


def test_the_batch_before_counts_for_a_while(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task may be on somebody's screen when the queue is replaced."""
    stores.label_stream.hand_out(1, [1])
    stores.label_stream.hand_out(1, [2])
    stores.label_stream.note_labels(1, {1: 1, 2: 2})
    assert stores.label_stream.handed(1) == Handed(2, 2)
    monkeypatch.setattr(label_stream, "STILL_SECONDS", -1.0)
    stores.label_stream.hand_out(1, [3])
    stores.label_stream.note_labels(1, {3: 2, 4: 3, 5: 1})
    assert stores.label_stream.handed(1) == Handed(5, 4), "the one before that still does"


def test_what_is_kept_is_bounded(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_stream, "LABELS_KEPT", 30)
    stores.label_stream.hand_out(1, range(1, 65))
    stores.label_stream.note_labels(1, {number: number for number in range(1, 200)})
    assert stores._redis.zcard(label_stream.handed_key(1)) == 30
    assert stores.label_stream.handed(1) == Handed(SHARE_LABELS, 0)


def test_a_backup_holds_it(stores: Stores) -> None:
    stores.label_stream.hand_out(1, [10, 11])
    stores.label_stream.note_labels(1, {1: 10, 2: 12})
    stores.label_stream.save_marks(1, {3: "ours"})
    dump = Dump(stores.client)
    lines = json.loads(json.dumps(list(dump.read(dump.index()[1])), allow_nan=False))
    stores._redis.flushall()
    dump.write(lines)
    stores.label_stream.note_labels(1, {4: 11})
    assert stores.label_stream.handed(1) == Handed(3, 2) and stores.label_stream.marks(1) == {3: "ours"}


def test_labels_wait_for_redis_and_only_those_of_steered_projects_count(stores: Stores, own_redis: Any) -> None:
    away = Stores(own_redis.settings)
    background = Background(away, 10)
    background.note_labels(1, {1: 10})
    background.steered = frozenset({1})
    background.note_labels(1, {2: 10})
    away.label_stream.hand_out(1, [10])
    own_redis.kill()
    with pytest.raises(Exception, match=r"."):
        background._store_labels()
    own_redis.start()
    background._store_labels()
    assert away.label_stream.handed(1) == Handed(1, 1)
    away.close()


@pytest.mark.parametrize(
    ("labels", "of_queue", "low"),
    [(0, 0, False), (5, 0, False), (10, 4, True), (10, 5, False), (20, 9, True), (20, 17, False)],
)
def test_a_low_share_is_told_with_what_to_do(labels: int, of_queue: int, low: bool) -> None:
    queue = {"version": "understudy queue 3", "handed": {"labels": labels, "of_queue": of_queue}}
    told = hint_handed(7, queue)
    assert is_bypassed(labels, of_queue) == low == ("Label All Tasks" in told) == ("doctor --project 7" in told)
    assert bool(told) == bool(labels)
    if labels:
        assert f"{of_queue} of the last {labels} labels were tasks that the queue handed out" in told
    assert hint_handed(7, {**queue, "off": "the project is not connected"}) == ""


def test_a_queue_of_before_has_no_share() -> None:
    assert hint_handed(7, {}) == hint_handed(7, {"version": "understudy queue 3"}) == ""
