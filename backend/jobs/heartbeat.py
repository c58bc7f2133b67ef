"""Signs of life of a job while it works, such as a lease that is prolonged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from backend.errors import StoreUnavailable


@contextmanager
def beating(seconds: float, beat: Callable[[], object]) -> Iterator[None]:
    """Within, a thread calls `beat` every so many seconds; where a store does not answer, again the next time."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(seconds):
            with suppress(StoreUnavailable):
                beat()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
