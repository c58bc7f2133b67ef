"""A job that works goes on giving signs of life, whatever the store says to one of them."""

from __future__ import annotations

import threading

from backend.errors import StoreUnavailable
from backend.jobs.heartbeat import beating


def test_a_store_that_does_not_answer_ends_no_signs_of_life() -> None:
    beats: list[threading.Thread] = []
    third = threading.Event()

    def beat() -> None:
        beats.append(threading.current_thread())
        if len(beats) == 3:
            third.set()
        raise StoreUnavailable("no answer")

    with beating(0.001, beat):
        assert third.wait(60)
    assert not beats[0].is_alive(), "none comes afterwards"
