"""How many cores this process's matrix products may use, and what happens to memory that they have freed."""

from __future__ import annotations

import ctypes
import math
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

TRIM_SECONDS = 10.0
"""Between two trims: often enough to be seen, too seldom to cost anything."""


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
