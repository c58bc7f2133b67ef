"""Unix sockets at paths of any length: the kernel's address of a socket holds 107 bytes, a directory may lie deeper."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ADDRESS_BYTES = 107
"""sun_path of Linux's unix(7) is 108 bytes, the last one is NUL."""

DESCRIPTORS = Path("/proc/self/fd")


def open_unix_socket(path: str | Path, timeout: float | None) -> socket.socket:
    """A connection to the server that listens at `path`. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        with _short_address(Path(path)) as address:
            connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _short_address(path: Path) -> Iterator[str]:
    """`path`, or the same by way of an open descriptor of its directory, which only Linux has."""
    if len(os.fsencode(path)) <= ADDRESS_BYTES or not DESCRIPTORS.exists():
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield str(DESCRIPTORS / str(directory) / path.name)
    finally:
        os.close(directory)
