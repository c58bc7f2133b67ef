"""How many cores this process's matrix products may use, and what happens to the memory that they take."""

from __future__ import annotations

import ctypes
import gc
import math
import os
import sys
import threading
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path

TRIM_SECONDS = 10.0
"""Between two trims: often enough to be seen, too seldom to cost anything."""


SHAPE_CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
"""Of oneDNN and of torch's layer over it, the latter for each thread: what they read once, when they are loaded."""

SHAPES_KEPT = 128
"""Products by shape, a quarter of a megabyte each; they would keep 1,024, and texts that all differ have as many. 2,048
tokens in one pass of the encoder hold 58 lengths at most: two products each, and four matrices."""


LOOKS = (10_000, 10, 20)
"""Objects more than there were, and looks of the younger kind, after which the interpreter looks for garbage. A request
of a thousand tasks is 50,000 objects while it is answered: with 700, the usual, each has it look at all there are."""

NICENESS = 5
"""Of what computes for seconds: predictors and the learner, the same for both. Whoever holds the interpreter's lock
must not wait for the learner, or others wait with it."""


def cores(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores that this process may use: fewer than the machine's under taskset, in a container with a cpuset, or with a
    share of CPU time (`docker run --cpus 2`, a Kubernetes limit), which no affinity shows."""
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = cpu_share(groups)
    return seen if share is None else max(1, min(seen, math.ceil(share)))


def cpu_share(groups: Path) -> float | None:
    """Cores' worth of CPU time that the container may use, None without a limit; cgroup v2, then v1."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with suppress(OSError, ValueError):
            quota, period = " ".join((groups / name).read_text(encoding="ascii") for name in names).split()
            if quota not in ("max", "-1") and int(period) > 0:
                return int(quota) / int(period)
    return None


def use_one_thread() -> None:
    """One thread per matrix product from now on: these matrices are small, and two threads make a refit twice as slow
    (measured: 0.30 s against 0.55 s at 64 labels). Call after numpy, scipy and torch are loaded."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


def step_back(by: int = NICENESS) -> None:
    """From now on this thread, and those that it starts, let others go first: what somebody waits for is short, and on
    two cores it would wait for a turn behind what computes. Linux alone gives threads a niceness of their own."""
    if not sys.platform.startswith("linux"):
        return
    own = threading.get_native_id()
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, own, os.getpriority(os.PRIO_PROCESS, own) + by)


@contextmanager
def loading() -> Iterator[None]:
    """For what a process loads once and keeps: the interpreter looks for no garbage among it, now or later.

    A look at the 250,000 objects of torch and its like takes 0.1 to 0.25 s, in which no thread of the process does
    anything else: those were the slowest answers of /health. What is no longer used is freed all the same, cycles of
    what was loaded excepted."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*LOOKS)
        gc.enable()


def bound_shape_caches(environment: MutableMapping[str, str]) -> None:
    """For a process that computes, in its own environment, before it loads torch. What is set already stays."""
    for name in SHAPE_CACHES:
        environment.setdefault(name, str(SHAPES_KEPT))


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
