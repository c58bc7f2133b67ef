"""How many cores this process's matrix products may use, and how many heaps its threads."""

from __future__ import annotations

import ctypes
import sys

_M_ARENA_MAX = -8
"""glibc's malloc.h."""


def use_one_thread() -> None:
    """One thread per matrix product from now on: these matrices are small, and two threads make a refit twice as slow
    (measured: 0.30 s against 0.55 s at 64 labels). Call after numpy, scipy and torch are loaded."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


def share_heaps(arenas: int = 2) -> bool:
    """All threads share these many heaps; whether the C library can do so. Call before threads start.

    glibc gives each new thread a heap of its own, up to eight a core, and what one of them has freed the others cannot
    use: the memory of 32 HTTP threads would grow with the number of clients that come at once (decision 0016)."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_ARENA_MAX, arenas))
