"""Whether a server can load what another one has written: newer ones write what older ones, and Redis and Valkey what
the other, cannot read. Such data is whole: it must never be taken for damaged."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from backend.embedded_redis.aof_repair import FOLDER, SINGLE
from backend.embedded_redis.binary import plain_name, server_version
from backend.errors import SettingsError

MAGIC = re.compile(rb"REDIS\d{4}|VALKEY\d{3}")
"""How a snapshot begins; the number is that of its format."""

EMPTY_REST = b"\xff" + b"\0" * 8
"""The rest of a snapshot with nothing in it, without a checksum."""

PATIENCE_SECONDS = 10.0


def require_readable(server: Path, directory: Path, answers: Callable[[Path], bool]) -> None:
    """Raises SettingsError when `directory` holds data that `server` cannot load. `answers`: whether a server listens
    at a socket."""
    if (directory / FOLDER).exists() and server_version(server) < (7,):
        raise _foreign(server, directory, "Redis 7 or newer")
    for magic in sorted(_formats(directory)):
        if not _loads(server, directory, magic, answers):
            raise _foreign(server, directory, f"another server (its format is {magic.decode()})")


def _foreign(server: Path, directory: Path, writer: str) -> SettingsError:
    version = ".".join(map(str, server_version(server)))
    return SettingsError(
        f"{directory} holds data of {writer}, which {server} ({version}) cannot read: it would start empty. Nothing "
        "was changed. Install the server that wrote it, or a newer one of its kind, or name it in REDIS_BINARY. To "
        "change to this one take a backup with the other (`understudy backup`), empty that directory and restore it."
    )


def _formats(directory: Path) -> set[bytes]:
    """The formats of the snapshots there: most logs begin with one."""
    found = set()
    for path in [directory / SINGLE, *(directory / FOLDER).glob("*.base.rdb")]:
        try:
            with path.open("rb") as file:
                match = MAGIC.match(file.read(16))
        except OSError:
            continue
        if match:
            found.add(match[0])
    return found


def _loads(server: Path, directory: Path, magic: bytes, answers: Callable[[Path], bool]) -> bool:
    """Whether `server` starts with an empty snapshot of this format; True when that cannot be tried."""
    try:
        with tempfile.TemporaryDirectory(prefix="try-", dir=directory) as scratch:
            here = Path(scratch)
            (here / "dump.rdb").write_bytes(magic + EMPTY_REST)
            (here / "redis.conf").write_text('port 0\nunixsocket s\nsave ""\n', encoding="utf-8")
            command = [str(server), plain_name(here / "redis.conf")]
            process = subprocess.Popen(command, cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                return _comes_up(process, here / "s", answers)
            finally:
                process.kill()
                process.wait()
    except OSError:
        return True


def _comes_up(process: subprocess.Popen[bytes], unix_socket: Path, answers: Callable[[Path], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if answers(unix_socket):
            return True
        time.sleep(0.005)
    return process.poll() is None
