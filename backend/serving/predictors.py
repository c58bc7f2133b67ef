"""The threads that compute predictions: as many as cores, fed by one queue in which no request starves another."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

Chunk = Callable[[], None]


class Work:
    """One request's chunks, and how many are done."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self.chunks = deque(chunks)
        self.open = len(chunks)
        self.done = threading.Event()


class Predictors:
    """Runs chunks round robin over the requests: one task does not wait for a thousand others."""

    def __init__(self, threads: int) -> None:
        self._requests: deque[Work] = deque()
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
            self._requests.append(work)
            self._changed.notify_all()
        if work.done.wait(max(0.0, seconds)):
            return True
        with self._changed:
            work.chunks.clear()
        return False

    def stop(self) -> None:
        """End the threads after their present chunk."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not self._requests and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    return
                work = self._requests.popleft()
                if not work.chunks:
                    continue
                chunk = work.chunks.popleft()
                if work.chunks:
                    self._requests.append(work)
            try:
                chunk()
            except Exception:  # a chunk handles its own errors; a thread must not die of one
                log.exception("predictor")
            with self._changed:
                work.open -= 1
                if work.open == 0:
                    work.done.set()


def deadline(seconds: float) -> Callable[[], float]:
    """A function that tells the seconds left."""
    end = time.monotonic() + seconds
    return lambda: end - time.monotonic()
