"""Receivers of outgoing events that are away, and schedulers that die amid a delivery."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from backend.outcomes import PublishOutcome
from backend.settings.settings import child_environment
from backend.store.outbox.event import published, trial
from tests.backend.notify.conftest import NOBODY, Post, post  # noqa: F401
from tests.faults.test_trainings import wait_until
from tests.support.hook_receiver import SECRET, receiving

pytestmark = pytest.mark.redis

PROJECT = 7


def test_row_52_nobody_there_holds_nothing_up_and_is_told_once_he_is(post: Callable[..., Post]) -> None:
    with receiving(503, 204) as receiver:
        own = post(f"{NOBODY},{receiver.url}")
        versions = own.stores.versions
        event = published(PROJECT, "v3", None)
        assert versions.publish(PROJECT, "v3", expected=None, seq=5, by="trainer", event=event) == (
            PublishOutcome.PUBLISHED
        )
        own.courier.deliver_due()
        assert versions.live(PROJECT) == "v3", "whatever becomes of the event"
        assert [own.state(place).waiting for place in (0, 1)] == [1, 1]
        for place in (0, 1):
            own.make_due(place)
        own.courier.deliver_due()
        assert [own.state(place).waiting for place in (0, 1)] == [1, 0], "one is still away"
        first, second = (one.headers["webhook-id"] for one in receiver.seen)
        assert first == second == event.id


@pytest.mark.parametrize("jump", [60.0, 3600.0, 1e9])
def test_row_39_no_event_waits_until_redis_clock_that_was_set_back_is_where_it_was(
    post: Callable[..., Post], jump: float
) -> None:
    with receiving(503, 204) as receiver:
        own = post(receiver.url)
        due = own.outbox.endpoints[0].keys[0]
        own.outbox.put(trial())
        own.set_clock_back(jump)
        assert own.courier.deliver_due() == 1 and own.courier.deliver_due() == 0, "it was never tried; now it waits"
        own.set_clock_back(jump)
        assert own.courier.deliver_due() == 1 and own.state().delivered == 1
        assert not own.stores.client.exists(due, own.outbox.endpoints[0].keys[1])


def test_row_52_whoever_is_killed_after_the_answer_leaves_the_event_to_the_next(
    post: Callable[..., Post],
) -> None:
    """The real scheduler, and the one that is started in its place."""
    with receiving() as receiver:
        own = post(receiver.url)
        own.outbox.put(trial())
        changes = {
            "NOTIFY_URL": receiver.url,
            "NOTIFY_SECRET": SECRET,
            "REDIS_URL": own.settings.redis_url,
            "DATA_DIR": str(own.settings.data_dir),
        }
        command = [sys.executable, "-m", "backend", "scheduler"]
        environment = child_environment(**changes, FAILPOINT="notify.after")
        killed = subprocess.run(command, env=environment, capture_output=True, timeout=60)
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
        assert len(receiver.seen) == 1 and own.state().waiting == 1 and own.state().delivered == 0
        own.make_due()
        with subprocess.Popen(command, env=child_environment(**changes), stderr=subprocess.DEVNULL) as process:
            try:
                wait_until(lambda: own.state().delivered == 1, "delivered")
            finally:
                os.kill(process.pid, signal.SIGTERM)
        first, second = ((one.headers["webhook-id"], one.body) for one in receiver.seen)
        assert first == second and own.state().waiting == 0
