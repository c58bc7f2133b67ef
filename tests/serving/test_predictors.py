"""The predictor threads: fair, bounded in time, and not to be killed by an error."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from backend.serving.predictors import Predictors


@pytest.fixture
def one() -> Iterator[Predictors]:
    predictors = Predictors(1)
    yield predictors
    predictors.stop()


def test_a_small_request_does_not_wait_for_a_large_one(one: Predictors) -> None:
    done: list[str] = []
    large = [lambda: (time.sleep(0.02), done.append("large"))[1] for _ in range(20)]
    thread = threading.Thread(target=one.run, args=(large, 10))
    thread.start()
    time.sleep(0.03)
    assert one.run([lambda: done.append("small")], 10)
    assert done.index("small") < 10
    thread.join()
    assert done.count("large") == 20


def test_what_is_not_begun_in_time_is_dropped(one: Predictors) -> None:
    done: list[int] = []
    assert not one.run([lambda: (time.sleep(0.2), done.append(1))[1] for _ in range(5)], 0.1)
    assert one.run([lambda: None], 5)
    assert len(done) <= 2


def test_an_error_in_a_chunk_ends_neither_thread_nor_request(one: Predictors) -> None:
    def fail() -> None:
        raise ValueError("bad")

    assert one.run([fail, fail], 5)
    assert one.run([lambda: None], 5)


def test_nothing_to_do_is_done_at_once(one: Predictors) -> None:
    assert one.run([], 0)
