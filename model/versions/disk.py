"""Large files on their way to the disk, without holding up others' small writes.

Whoever appends a line and waits until it is on disk (Redis, for each label) waits behind all that is being written
then, and in ext4 also for files that were just renamed: all of them are one transaction.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path

PORTION_BYTES = 1 << 20
"""Bytes that are written at a time: a disk takes 1 to 10 ms for them."""

_WAIT_WRITE_WAIT = 7
"""sync_file_range's: write these pages, and return when they are written."""


def bring_to_disk(path: Path, portion: int = PORTION_BYTES) -> None:
    """Returns when the file is on disk, as after fsync; a portion at a time where the system can. Raises OSError."""
    with path.open("rb") as file:
        write = _range_writer()
        for start in range(0, os.fstat(file.fileno()).st_size, portion):
            if write is None or write(file.fileno(), start, portion, _WAIT_WRITE_WAIT):
                break  # some file systems have none
        os.fsync(file.fileno())


def _range_writer() -> Callable[..., int] | None:
    """sync_file_range of the C library; None where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    function: Callable[..., int] | None = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if function is None:
        return None
    wide = ctypes.c_int64
    return lambda file, start, length, flags: function(file, wide(start), wide(length), flags)
