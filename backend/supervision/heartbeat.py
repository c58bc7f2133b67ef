"""The deadline of a process's next heartbeat, in a file that the watchdog outside reads and kills it by.

A job that hangs in C, or swallows every signal, cannot be stopped from inside Python. Two guards need no cooperation:
faulthandler's thread, which runs without the interpreter's lock, says in the log where the process hangs and ends it;
and `watchdog.py` in the supervisor kills what even that does not end (a stopped process, one without memory).
"""

from __future__ import annotations

import faulthandler
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DEADLINES_FOLDER = "deadlines"
"""Under DATA_DIR: a file `<process id>` with the reading of the monotonic clock at which the process may be killed."""

OUTSIDE_SECONDS = 5.0
"""Seconds that the guard inside comes first: it knows where the process hangs."""


class Deadline:
    """This process's. A full disk, or a directory that is gone, switches the outer guard off, and nothing else."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / DEADLINES_FOLDER / str(os.getpid())

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """What runs in here is killed when it is not done within `seconds`."""
        faulthandler.dump_traceback_later(seconds, exit=True)
        self.keep(seconds + OUTSIDE_SECONDS)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            with suppress(OSError):
                self.path.unlink()

    def keep(self, seconds: float) -> None:
        """A sign of life; the next one must come within `seconds`. For the guard outside only."""
        scratch = self.path.with_suffix(".tmp")
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            scratch.write_text(str(time.monotonic() + seconds), encoding="ascii")
            os.replace(scratch, self.path)
