"""The predictor threads: fair, bounded in time, and not to be killed by an error."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from backend.cpu import NICENESS
from backend.errors import Overloaded
from backend.serving.predictors import SMALL_IN_A_ROW, Chunk, Predictors, alone
from model.texts import BATCH_CHARACTERS, BATCH_TEXTS


@pytest.fixture
def one() -> Iterator[Predictors]:
    predictors = Predictors(1)
    yield predictors
    predictors.stop()


def asleep(done: list[str], name: str, seconds: float = 0.02) -> Chunk:
    return alone(lambda: (time.sleep(seconds), done.append(name))[1])


class Recorder:
    """Computes numbers slowly; remembers which of them were computed together."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.together: list[list[int]] = []
        self.begun = threading.Event()

    def chunk(self, rows: Sequence[int], key: object = "model", size: int = 10) -> Chunk:
        return Chunk(self._compute, rows, key, size)

    def _compute(self, rows: Sequence[int]) -> None:
        self.together.append(list(rows))
        self.begun.set()
        time.sleep(self.seconds)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads have no niceness of their own")
def test_requests_go_before_what_computes(one: Predictors) -> None:
    found: list[int] = []
    one.run([alone(lambda: found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))], 30.0)
    ours = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert found == [min(19, ours + NICENESS)]


def behind(one: Predictors, requests: Sequence[Sequence[Chunk]]) -> None:
    """Runs the requests at once, all of which wait behind one that holds the only thread."""
    held, go = threading.Event(), threading.Event()
    blocker = threading.Thread(target=one.run, args=([alone(lambda: (held.set(), go.wait(120))[0])], 600))
    blocker.start()
    held.wait(120)
    threads = []
    for chunks in requests:
        before = one.waiting()[0]
        threads.append(threading.Thread(target=one.run, args=(chunks, 600)))
        threads[-1].start()
        while one.waiting()[0] == before:  # in this order
            time.sleep(0.001)
    go.set()
    for thread in (*threads, blocker):
        thread.join()


def test_a_small_request_does_not_wait_for_a_large_one(one: Predictors) -> None:
    done: list[str] = []
    begun, go = threading.Event(), threading.Event()
    first = alone(lambda: (begun.set(), go.wait(120), done.append("large"))[2])
    large = [first, *(asleep(done, "large", 0) for _ in range(19))]
    threads = [threading.Thread(target=one.run, args=(chunks, 600)) for chunks in (large, [asleep(done, "small", 0)])]
    threads[0].start()
    assert begun.wait(120)
    before = one.waiting()[0]
    threads[1].start()
    while one.waiting()[0] == before:  # it is amid the large one
        time.sleep(0.001)
    go.set()
    for thread in threads:
        thread.join()
    assert done.index("small") < 10 and done.count("large") == 20


def test_a_small_request_waits_for_one_chunk_of_all_large_ones_together(one: Predictors) -> None:
    done: list[str] = []
    large = [[asleep(done, f"large {index}", 0) for _ in range(20)] for index in range(5)]
    behind(one, [*large, [asleep(done, "small", 0)]])
    assert done[0] == "small" and len(done) == 101


def test_small_requests_do_not_starve_a_large_one(one: Predictors) -> None:
    done: list[str] = []
    small = [[asleep(done, "small", 0)] for _ in range(12)]
    behind(one, [[asleep(done, "large", 0) for _ in range(9)], *small])
    assert done.index("large") <= SMALL_IN_A_ROW


def test_what_waits_for_one_model_is_computed_as_one(one: Predictors) -> None:
    recorder = Recorder()
    behind(one, [[recorder.chunk([number])] for number in range(8)])
    assert recorder.together == [list(range(8))]


def test_what_waits_for_different_models_is_not(one: Predictors) -> None:
    recorder = Recorder()
    behind(one, [[recorder.chunk([number], key=number % 2)] for number in range(6)])
    assert recorder.together == [[0, 2, 4], [1, 3, 5]]


def test_a_chunk_is_not_filled_beyond_its_bounds(one: Predictors) -> None:
    recorder = Recorder()
    behind(one, [[recorder.chunk([number])] for number in range(20)])
    assert [len(rows) for rows in recorder.together] == [BATCH_TEXTS, 20 - BATCH_TEXTS]
    recorder.together.clear()
    behind(one, [[recorder.chunk([number], size=BATCH_CHARACTERS // 2)] for number in range(3)])
    assert recorder.together == [[0, 1], [2]]


def test_all_rows_of_a_merged_request_are_computed(one: Predictors) -> None:
    recorder = Recorder()
    behind(one, [[recorder.chunk([100 + i, 200 + i]) for i in range(9)], [recorder.chunk([1])], [recorder.chunk([2])]])
    assert sorted(number for rows in recorder.together for number in rows) == sorted(
        [1, 2, *(100 + i for i in range(9)), *(200 + i for i in range(9))]
    )


def test_nobody_waits_for_others_to_come(one: Predictors) -> None:
    recorder = Recorder()
    for number in range(3):
        assert one.run([recorder.chunk([number])], 600)
    assert recorder.together == [[0], [1], [2]]


@pytest.mark.slow
def test_a_request_that_cannot_be_done_in_time_is_refused(one: Predictors) -> None:
    recorder = Recorder(0.2)
    assert one.run([recorder.chunk([0], size=100)], 600), "now the pace is known: 500 characters a second"
    one.check_room(1000, 1)
    recorder.begun.clear()
    waiting = threading.Thread(target=one.run, args=([recorder.chunk([number], None, 100) for number in range(20)], 10))
    waiting.start()
    recorder.begun.wait(120)
    with pytest.raises(Overloaded) as refused:
        one.check_room(1000, 1)
    assert 1 <= refused.value.evidence["retry_after"] <= 10
    one.check_room(1000, 60)
    one.check_room(1, 1)  # goes before the large one
    waiting.join()


def test_what_is_not_begun_in_time_is_dropped(one: Predictors) -> None:
    done: list[str] = []
    assert not one.run([asleep(done, "late", 0.2) for _ in range(5)], 0.1)
    assert one.run([alone(lambda: None)], 600)
    assert len(done) <= 2


def test_an_error_in_a_chunk_ends_neither_thread_nor_request(one: Predictors) -> None:
    def fail() -> None:
        raise ValueError("bad")

    assert one.run([alone(fail), alone(fail)], 600)
    assert one.run([alone(lambda: None)], 600)


def test_nothing_to_do_is_done_at_once(one: Predictors) -> None:
    assert one.run([], 0)


def test_who_computes_for_long_gives_way_to_what_waits(one: Predictors) -> None:
    done: list[str] = []
    before, go = threading.Event(), threading.Event()

    def compute() -> None:
        done.append("begin")
        before.set()
        go.wait(120)
        one.give_way()
        done.append("end")

    def guest() -> None:
        done.append("small")
        one.give_way()  # a guest has no guests

    thread = threading.Thread(target=one.run, args=([alone(compute)], 600))
    thread.start()
    before.wait(120)
    huge = Chunk(lambda _: done.append("long"), size=BATCH_CHARACTERS + 1)
    requests = [[huge], [alone(guest)], [alone(guest)], [asleep(done, "large", 0) for _ in range(9)]]
    others = [threading.Thread(target=one.run, args=(chunks, 600)) for chunks in requests]
    for number, other in enumerate(others, 1):
        other.start()
        while one.waiting()[0] < number:
            time.sleep(0.001)
    go.set()
    for other in (thread, *others):
        other.join()
    assert done[:5] == ["begin", "small", "small", "large", "end"]
    assert done.count("large") == 9 and done.count("long") == 1


def test_way_is_given_on_predictor_threads_alone_and_errors_of_guests_stay_theirs(one: Predictors) -> None:
    done: list[str] = []
    before, go = threading.Event(), threading.Event()

    def compute() -> None:
        before.set()
        go.wait(120)
        one.give_way()
        done.append("end")

    def fail() -> None:
        raise ValueError("a guest's own")

    thread = threading.Thread(target=one.run, args=([alone(compute)], 600))
    thread.start()
    before.wait(120)
    other = threading.Thread(target=one.run, args=([alone(fail)], 600))
    other.start()
    while not one.waiting()[0]:
        time.sleep(0.001)
    one.give_way()
    assert one.waiting()[0] == 1, "the test's thread is nobody's to compute on"
    go.set()
    thread.join()
    other.join()
    assert done == ["end"]
