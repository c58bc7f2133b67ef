"""Row 29, and the rest of reconciling: the store equals Label Studio after a whole listing, and is left alone by any
other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from backend.jobs.sync.reconcile import resync
from backend.labelstudio.rest import transport
from backend.labelstudio.rest.circuit_breaker import breaker_of
from backend.processes.scheduler import Scheduler
from backend.redis_access.job_kinds import KIND_OF_NAME
from tests.support.label_studio_stub import TOKEN, LabelStudioStub, ReferenceModel
from tests.support.tiny import PROJECT, settings, tiny_base  # noqa: F401

ROWS = [("a b c", "a"), ("e f g", "e"), ("b c d", "a"), ("f g h", "e")]

FAILURES = {
    "down": "",
    "error": "database is locked",
    "unauthorized": "Invalid token",
    "short page": "not whole",
    "cut page": "broke off",
    "no annotations": "no annotations",
}


@pytest.fixture
def studio(context: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabelStudioStub]:
    """A Label Studio with four annotations, which the store has."""
    monkeypatch.setattr(transport, "WAIT_SECONDS", (0.01, 0.01, 0.01))
    truth = ReferenceModel.of_choices([PROJECT], ["a", "e"])
    truth.create(PROJECT, ROWS)
    with LabelStudioStub(truth) as running:
        given = {"label_studio_url": f"http://127.0.0.1:{running.port}", "label_studio_api_key": SecretStr(TOKEN)}
        context.settings = context.settings.model_copy(update=given)
        assert resync(PROJECT) == "done"
        yield running


def stored(context: Any) -> dict[int, str]:
    """annotation -> label."""
    records = context.stores.examples.snapshot(PROJECT).records
    return {record.annotation: record.targets["label"][0][0] for record in records}


def real(studio: LabelStudioStub) -> dict[int, str]:
    return {number: facts[1] for number, facts in studio.truth.annotations(PROJECT).items()}


def test_after_any_outage_of_ours_one_listing_makes_the_store_equal_to_label_studio(
    context: Any, studio: LabelStudioStub
) -> None:
    assert stored(context) == real(studio), "imported annotations, of which no event told"
    truth = studio.truth
    [first, second, third, _] = truth.annotated(PROJECT)
    truth.update(first, "e")
    truth.delete([second])
    truth.delete_tasks([third])
    truth.create(PROJECT, [("a d c", "a"), ("h g e", "e")])
    assert resync(PROJECT) == "done" and stored(context) == real(studio)
    last = context.stores.projects.last_sync(PROJECT)
    assert (last["drift"], last["stored"], last["removed"]) == (5, 3, 2)
    assert resync(PROJECT) == "done" and context.stores.projects.last_sync(PROJECT)["drift"] == 0


@pytest.mark.parametrize("mode", FAILURES)
def test_row_29_a_listing_that_is_not_whole_deletes_nothing_is_told_and_tried_again_later_each_time(
    context: Any, studio: LabelStudioStub, mode: str
) -> None:
    before, stores = stored(context), context.stores
    good = stores.projects.last_sync(PROJECT)
    studio.truth.delete(studio.truth.annotated(PROJECT)[:1])
    stores.projects.mark_dirty(PROJECT, "a test")
    studio.mode = mode
    waits = []
    for _ in range(3):
        error = resync(PROJECT)
        assert FAILURES[mode] in error and stored(context) == before
        waits.append(stores.failures.waits(PROJECT, "sync"))
        assert "waits" in resync(PROJECT)
        stores.failures.release(PROJECT, "sync")
    assert waits[0] < waits[1] < waits[2] <= KIND_OF_NAME["sync"].longest_wait_seconds
    last = stores.projects.last_sync(PROJECT)
    assert last["error"] == error and last["ok_at"] == good["ok_at"], "when it last went well is still known"
    assert stores.projects.dirty(PROJECT) == "a test"
    assert stores.failures.describe(PROJECT)["sync"]["failures"] == 3
    studio.mode = "whole"
    breaker_of.cache_clear()  # in real life its rest is over before the next attempt
    assert resync(PROJECT) == "done" and stored(context) == real(studio)
    assert stores.failures.describe(PROJECT) == {} and not stores.projects.dirty(PROJECT)


def test_what_was_missed_while_a_listing_ran_is_not_forgotten(context: Any, studio: LabelStudioStub) -> None:
    projects = context.stores.projects
    projects.mark_dirty(PROJECT, "before")
    marks = projects.dirty_marks(PROJECT)
    projects.mark_dirty(PROJECT, "meanwhile")
    projects.note_sync(PROJECT, {}, marks)
    assert projects.dirty(PROJECT) == "meanwhile"
    projects.note_sync(PROJECT, {}, projects.dirty_marks(PROJECT))
    assert not projects.dirty(PROJECT)


def test_it_is_asked_for_at_the_start_when_dirty_and_when_it_is_time_but_not_while_it_waits(
    context: Any, studio: LabelStudioStub
) -> None:
    stores, scheduler = context.stores, Scheduler(context)

    def asked() -> int:
        """After a tick, and forgotten."""
        scheduler.tick()
        count = int(stores.queue.length("backend.jobs.sync.reconcile.resync"))
        stores._redis.delete("rq:queue:sync")
        stores.jobs.begin_sync(PROJECT)
        return count

    assert asked() == 1 and "was started" in stores.projects.dirty(PROJECT)
    assert resync(PROJECT) == "done" and asked() == 0
    stores.projects.mark_dirty(PROJECT, "a refused webhook")
    assert asked() == 1
    stores.failures.fail(PROJECT, "sync", "away")
    assert asked() == 0
    stores.failures.clear(PROJECT, "sync")
    stores.projects.note_sync(PROJECT, {"next": time.time() + 60})
    assert asked() == 0
    stores.projects.note_sync(PROJECT, {"next": time.time() - 1})
    assert asked() == 1


def test_projects_are_not_all_due_at_once(context: Any, studio: LabelStudioStub) -> None:
    minutes = context.settings.resync_minutes
    seen = set()
    for _ in range(4):
        assert resync(PROJECT) == "done"
        last = context.stores.projects.last_sync(PROJECT)
        seen.add(round(last["next"] - last["at"]))
        assert 0.75 * minutes < (last["next"] - last["at"]) / 60 < 1.25 * minutes
    assert len(seen) > 1


def test_row_29_what_label_studio_has_and_does_not_list_is_not_taken_for_deleted(
    context: Any, studio: LabelStudioStub
) -> None:
    """Its listings go by counters of the tasks, which are behind or wrong when its database was busy."""
    first, second, *_ = studio.truth.annotated(PROJECT)
    assert first.annotation is not None and second.annotation is not None
    kept, gone = first.annotation["id"], second.annotation["id"]
    studio.unlisted = {first.number}
    studio.truth.delete([second])
    assert resync(PROJECT) == "done"
    assert kept in stored(context) and gone not in stored(context)
    assert context.stores.projects.last_sync(PROJECT)["unlisted"] == 1
