"""One attempt at a time works in a run's directory: the kernel lets go of the lock when all its holders have died."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.errors import Conflict


@contextmanager
def hold_run(directory: Path) -> Iterator[int]:
    """Holds `directory`, made when missing; the descriptor that holds it, for the training process to hold as well.

    Raises Conflict when another attempt, still alive somewhere, has it. The lock is beside the directory, not in it, so
    that the directory can be deleted while it is held."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory.with_name(f".{directory.name}.lock")
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _take(lock, path):
            raise Conflict(f"an earlier attempt still works in {directory.name}")
        yield lock
        if not directory.exists():
            path.unlink(missing_ok=True)
    finally:
        os.close(lock)


def _take(lock: int, path: Path) -> bool:
    """Whether the lock is this process's, and still the file that others would open."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(lock), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
