"""How many cores this process's matrix products may use, and what happens to memory that they have freed."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time

TRIM_SECONDS = 10.0
"""Between two trims: often enough to be seen, too seldom to cost anything."""


def cores() -> int:
    """Cores that this process may use: fewer than the machine's under taskset, or in a container with a cpuset."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_one_thread() -> None:
    """One thread per matrix product from now on: these matrices are small, and two threads make a refit twice as slow
    (measured: 0.30 s against 0.55 s at 64 labels). Call after numpy, scipy and torch are loaded."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


def trim_heap() -> bool:
    """Gives freed memory back to the system; whether the C library can.

    glibc keeps what was freed for the next call. Eight clients at once need more than one, and all of it would stay:
    RSS would tell of the busiest second so far."""
    if not sys.platform.startswith("linux"):
        return False
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    return trim is not None and bool(trim(0))


def keep_heap_trimmed(every: float = TRIM_SECONDS) -> threading.Thread:
    """Trims the heap now and then, as long as the process lives; returns the thread that does it."""

    def run() -> None:
        while True:
            time.sleep(every)
            trim_heap()

    thread = threading.Thread(target=run, name="heap", daemon=True)
    thread.start()
    return thread
