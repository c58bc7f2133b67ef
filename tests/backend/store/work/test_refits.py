"""Refits, plans and their writing are asked for once, however far a worker is behind, and again when they are lost."""

from __future__ import annotations

import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from backend.redis_access.connection import connect
from backend.redis_access.keys import project_key
from backend.settings.settings import Settings
from backend.store.stores import Stores

pytestmark = pytest.mark.redis


def test_of_a_project_one_refit_waits_however_long_it_does(settings: Settings, stores: Stores) -> None:
    """Each half minute another one came, and what was new elsewhere waited behind hundreds that had nothing to do."""
    client = connect(settings, binary=True)
    queue = Queue("learn", connection=client, serializer=JSONSerializer)
    assert stores.jobs.enqueue_refit(7)
    for _ in range(5):
        stores.client.delete(project_key(7, "refit"))  # it expires
        assert not stores.jobs.enqueue_refit(7)
    assert stores.jobs.enqueue_refit(8), "of another project"
    assert len(queue) == 2
    queue.empty()
    stores.client.delete(project_key(7, "refit"))
    assert stores.jobs.enqueue_refit(7), "all of rq:* was lost"
    client.close()


def test_of_a_project_one_plan_and_one_writing_wait(settings: Settings, stores: Stores) -> None:
    client = connect(settings, binary=True)
    for enqueue, name, queue in (
        (stores.task_queue.enqueue_plan, "plan", "learn"),
        (stores.task_queue.enqueue_steer, "steer", "sync"),
    ):
        assert enqueue(7)
        for _ in range(3):
            stores.client.delete(project_key(7, f"{name}:asked"))  # it expires, or the job before has ended
            assert not enqueue(7)
        assert enqueue(8) and client.llen(f"rq:queue:{queue}") == 2
        client.delete(f"rq:queue:{queue}")
        stores.client.delete(project_key(7, f"{name}:asked"))
        assert enqueue(7)
    client.close()


def test_a_call_that_a_dead_worker_had_taken_is_asked_for_again(settings: Settings, stores: Stores) -> None:
    """The job still says of itself that it waits."""
    client = connect(settings, binary=True)
    assert stores.jobs.enqueue_refit(7)
    assert client.rpop("rq:queue:learn")
    stores.client.delete(project_key(7, "refit"))
    assert stores.jobs.enqueue_refit(7)
    assert client.llen("rq:queue:learn") == 1
    client.close()
