"""A reconciliation is asked for once, and again when the call that should begin it is gone."""

from __future__ import annotations

import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from backend.redis_access.connection import connect
from backend.settings.settings import Settings
from backend.store.stores import Stores

pytestmark = pytest.mark.redis


def test_a_call_that_was_taken_and_never_begun_does_not_block_the_next(settings: Settings, stores: Stores) -> None:
    """Its worker was killed in between, or Redis: for five minutes nobody could reconcile."""
    assert stores.jobs.enqueue_sync(7)
    assert not stores.jobs.enqueue_sync(7)
    client = connect(settings, binary=True)
    queue = Queue("sync", connection=client, serializer=JSONSerializer)
    assert len(queue) == 1
    queue.empty()
    client.close()
    assert stores.jobs.enqueue_sync(7)
    assert not stores.jobs.enqueue_sync(7)
    stores.jobs.begin_sync(7)
    assert stores.jobs.enqueue_sync(7)
