"""The threads that compute predictions: as many as cores, fed by one queue in which no request starves another.

Nobody waits for a batch to fill up: a thread that becomes free takes what is waiting, and chunks of one key that wait
at that moment are computed as one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from backend.cpu import step_back
from backend.errors import Overloaded
from backend.telemetry.metrics import Metrics
from model.texts import BATCH_CHARACTERS, BATCH_TEXTS, Bounds

RETRY_AFTER = 2
"""Seconds: a chunk or two later there is room."""

KEPT_SHARE = 0.25
"""Of the HTTP threads, that no /predict may take."""


class Admission:
    """Counts requests. Thread-safe. `inside`: how many are being answered."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.inside = 0
        self._left = threading.Condition()

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Be one of at most `most`. Raises Overloaded at once when they are all there: waiting would hold a thread."""
        with self._left:
            if self.inside >= self.most:
                raise Overloaded(f"{self.most} requests for predictions wait already", retry_after=RETRY_AFTER)
            self.inside += 1
        try:
            yield
        finally:
            with self._left:
                self.inside -= 1
                self._left.notify_all()

    def wait_for_none(self, seconds: float) -> bool:
        """Until no request is being answered, `seconds` at most; whether that is so."""
        with self._left:
            return self._left.wait_for(lambda: not self.inside, seconds)


def predict_slots(threads: int) -> int:
    """Requests for predictions that may wait in a web process with so many HTTP threads."""
    return max(1, threads - max(1, round(threads * KEPT_SHARE)))


log = logging.getLogger(__name__)

SMALL_REQUEST_ROWS = 8
"""Rows up to which an annotator waits for a request: it goes before larger ones."""

SMALL_IN_A_ROW = 3
"""After so many small requests a large one has its turn, so that it cannot starve."""

IDLE_CHUNKS = 256
"""Chunks that may wait until nothing else does; more are dropped, since they are asked for again."""

NEWEST_CHUNK_SHARE = 0.2
"""Share of the newest chunk in the estimate of the pace."""


@dataclass(frozen=True, eq=False)
class Chunk:
    """Rows that one thread computes in one go, at most half a second's work, unless it gives way.

    `compute` may get the rows of several chunks of the same `key`, up to `bounds`; None is computed alone. `size` in
    characters."""

    compute: Callable[[Sequence[Any]], None]
    rows: Sequence[Any] = (None,)
    key: object = None
    size: int = 0
    bounds: Bounds = (BATCH_TEXTS, BATCH_CHARACTERS)

    @property
    def is_long(self) -> bool:
        """Whether it takes longer than others should wait."""
        return self.size > self.bounds[1]


def alone(compute: Callable[[], None]) -> Chunk:
    """A chunk that is not computed together with others."""
    return Chunk(lambda _: compute())


class Work:
    """One request's chunks, and how many are not done."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self.chunks = deque(chunks)
        self.open = len(chunks)
        self.small = sum(len(chunk.rows) for chunk in chunks) <= SMALL_REQUEST_ROWS
        self.size = sum(chunk.size for chunk in chunks)
        self.came = time.perf_counter()
        self.begun = False
        self.done = threading.Event()


class _Mine(threading.local):
    """Of each thread: whether it may serve others now, and the seconds in which it did so amid a chunk."""

    serves = False
    away = 0.0


class Predictors:
    """Runs chunks: small requests first, large ones round robin."""

    def __init__(self, threads: int, metrics: Metrics | None = None) -> None:
        self._metrics = metrics or Metrics()
        self._small: deque[Work] = deque()
        self._large: deque[Work] = deque()
        self._idle: OrderedDict[object, Chunk] = OrderedDict()
        self._idle_runs = 0
        self._small_runs = 0
        self._pace: float | None = None  # characters a second, of all threads
        self._mine = _Mine()
        self._changed = threading.Condition()
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"predictor-{index}", daemon=True) for index in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, chunks: Sequence[Chunk], seconds: float) -> bool:
        """Run all chunks; whether they were done in time. Those not begun by then are dropped."""
        if not chunks:
            return True
        work = Work(chunks)
        with self._changed:
            (self._small if work.small else self._large).append(work)
            self._changed.notify(len(chunks))
        if work.done.wait(max(0.0, seconds)):
            return True
        with self._changed:
            work.chunks.clear()
        return False

    def give_way(self) -> None:
        """Whoever computes for long calls it now and then: what waits has its turn then, small requests first and one
        chunk of a large one, on this thread. Nothing that is long itself, nothing within what had its turn so, and
        nothing on a thread of somebody else."""
        if not self._mine.serves:
            return
        self._mine.serves, began = False, time.perf_counter()
        try:
            for queue, most in ((self._small, SMALL_IN_A_ROW), (self._large, 1)):
                for _ in range(most):
                    with self._changed:
                        taken = self._take_short(queue)
                    if not taken:
                        break
                    self._finish(taken)
        finally:
            self._mine.serves = True
            self._mine.away += time.perf_counter() - began

    def add_idle(self, name: object, chunk: Chunk) -> None:
        """Run a chunk when nothing else waits, and never on all threads; not twice while one of this name waits."""
        with self._changed:
            if name not in self._idle and len(self._idle) < IDLE_CHUNKS:
                self._idle[name] = chunk
                self._changed.notify()

    def check_room(self, rows: int, seconds: float) -> None:
        """Raises Overloaded when what waits before a request of so many rows will take longer than `seconds`: nothing
        would come of waiting, too."""
        with self._changed:
            wait = self._seconds_of(self._small if rows <= SMALL_REQUEST_ROWS else self._large)
        if wait > seconds:
            raise Overloaded(
                f"{wait:.0f} s of work wait already, more than PREDICT_DEADLINE leaves", retry_after=round(wait) + 1
            )

    def waiting(self) -> tuple[int, int]:
        """(requests, rows) that wait now."""
        with self._changed:
            works = [*self._small, *self._large]
            return len(works), sum(len(chunk.rows) for work in works for chunk in work.chunks)

    def stop(self) -> None:
        """End the threads after their present chunk."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _seconds_of(self, queue: deque[Work]) -> float:
        """How long what waits in this queue will take; 0 while unknown."""
        if not self._pace:
            return 0.0
        return sum(chunk.size for work in queue for chunk in work.chunks) / self._pace

    def _serve(self) -> None:
        step_back()  # who answers /health and takes labels goes first
        self._mine.serves = True
        while True:
            with self._changed:
                while not (self._small or self._large or self._stopped or self._may_idle()):
                    self._changed.wait()
                if self._stopped:
                    return
                idle = not (self._small or self._large)
                taken = [self._take_idle()] if idle else self._take()
            if not taken:
                continue
            self._finish(taken)
            if idle:
                with self._changed:
                    self._idle_runs -= 1
                    self._changed.notify()

    def _finish(self, taken: Sequence[tuple[Work, Chunk]]) -> None:
        self._compute([chunk for _, chunk in taken])
        with self._changed:
            for work, _ in taken:
                work.open -= 1
                if work.open == 0:
                    work.done.set()

    def _may_idle(self) -> bool:
        return bool(self._idle) and self._idle_runs < max(1, len(self._threads) - 1)

    def _take_idle(self) -> tuple[Work, Chunk]:
        _, chunk = self._idle.popitem(last=False)
        self._idle_runs += 1
        return Work([chunk]), chunk

    def _take(self) -> list[tuple[Work, Chunk]]:
        """The next chunk, and those of its key that wait and fit in; none when the request has been given up."""
        first_small = self._small and (self._small_runs < SMALL_IN_A_ROW or not self._large)
        queue = self._small if first_small else self._large
        self._small_runs = self._small_runs + 1 if first_small else 0
        return self._take_of(queue, queue.popleft())

    def _take_short(self, queue: deque[Work]) -> list[tuple[Work, Chunk]]:
        """The same of one queue, from the first request whose next chunk is not long."""
        for work in queue:
            if work.chunks and not work.chunks[0].is_long:
                queue.remove(work)
                return self._take_of(queue, work)
        return []

    def _take_of(self, queue: deque[Work], work: Work) -> list[tuple[Work, Chunk]]:
        if not work.chunks:
            return []
        taken = [(work, work.chunks.popleft())]
        if work.chunks:
            queue.append(work)
        if taken[0][1].key is not None:
            self._merge(taken)
        now = time.perf_counter()
        for mine, _ in taken:
            if not mine.begun:
                mine.begun = True
                self._metrics.stage.labels("queue").observe(now - mine.came)
        return taken

    def _merge(self, taken: list[tuple[Work, Chunk]]) -> None:
        first = taken[0][1]
        texts, size = len(first.rows), first.size
        for queue in (self._small, self._large):
            for work in tuple(queue):
                head = work.chunks[0] if work.chunks else None
                if head is None or head.key != first.key:
                    continue
                if texts + len(head.rows) > first.bounds[0] or size + head.size > first.bounds[1]:
                    continue
                taken.append((work, work.chunks.popleft()))
                texts, size = texts + len(head.rows), size + head.size
                if not work.chunks:
                    queue.remove(work)

    def _compute(self, chunks: Sequence[Chunk]) -> None:
        rows = [row for chunk in chunks for row in chunk.rows]
        size = sum(chunk.size for chunk in chunks)
        began, away = time.perf_counter(), self._mine.away
        try:
            chunks[0].compute(rows)
        except Exception:  # a chunk handles its own errors; a thread must not die of one
            log.exception("predictor")
        took = time.perf_counter() - began - (self._mine.away - away)
        self._metrics.stage.labels("compute").observe(took)
        if not size:
            return
        self._metrics.chunk_texts.observe(len(rows))
        self._metrics.chunk_fill.observe(max(len(rows) / chunks[0].bounds[0], size / chunks[0].bounds[1]))
        pace = size / max(took, 1e-6) * len(self._threads)
        self._pace = pace if self._pace is None else (1 - NEWEST_CHUNK_SHARE) * self._pace + NEWEST_CHUNK_SHARE * pace


def deadline(seconds: float) -> Callable[[], float]:
    """A function that tells the seconds left."""
    end = time.monotonic() + seconds
    return lambda: end - time.monotonic()
