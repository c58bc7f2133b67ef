"""What processes take of a machine's memory together, each page counted once, whoever else on the machine has it."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress

import psutil

ENTRY, AT_ONCE = 8, 1 << 16
PRESENT, FRAME = 1 << 63, (1 << 55) - 1
"""Of an entry of /proc/PID/pagemap."""


def count_pages(processes: Iterable[psutil.Process]) -> int:
    """Bytes; 0 where the system does not tell, which it does for root only."""
    frames = set[int]()
    for process in processes:
        with suppress(OSError):
            frames.update(_frames_of(process.pid))
    return (len(frames) - (0 in frames)) * os.sysconf("SC_PAGE_SIZE")


def _frames_of(pid: int) -> Iterator[int]:
    page = os.sysconf("SC_PAGE_SIZE")
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pages:
        for line in maps:
            start, end = (int(part, 16) // page for part in line.split(maxsplit=1)[0].split("-"))
            if "[vsyscall]" in line:  # the kernel's own
                continue
            for first in range(start, end, AT_ONCE):
                pages.seek(first * ENTRY)
                entries = array("Q", pages.read(min(AT_ONCE, end - first) * ENTRY))
                yield from (entry & FRAME for entry in entries if entry & PRESENT)
