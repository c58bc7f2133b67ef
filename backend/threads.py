"""How many cores this process's matrix products may use."""

from __future__ import annotations


def use_one_thread() -> None:
    """One thread per matrix product from now on: these matrices are small, and two threads make a refit twice as slow
    (measured: 0.30 s against 0.55 s at 64 labels). Call after numpy, scipy and torch are loaded."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
