"""What the embedded Redis finds on disk after a crash: whole, cut short, or damaged so that it would not start.

Redis cuts off a half-written command at the end by itself, and refuses everything else: a supervisor would start it
for ever. Nothing is lost for good by going on with what can be read, since Label Studio has every annotation: whoever
sees a Redis that was restarted reconciles (`store/watch.py`). What was cut off is kept aside.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from pathlib import Path

log = logging.getLogger(__name__)

FOLDER, MANIFEST, SINGLE = "appendonlydir", "appendonly.aof.manifest", "appendonly.aof"
"""Redis 7 and newer keep several files and a list of them, older ones a single file."""

CHECK_LOG, CHECK_SNAPSHOT, SNAPSHOT = "redis-check-aof", "redis-check-rdb", ".rdb"

DAMAGED_LOGS_KEPT = 2
"""Damaged logs kept aside, the newest."""

PATIENCE_SECONDS = 600
"""A log that takes longer to check is left to Redis."""


def repair_log(server: Path, directory: Path) -> str:
    """Makes the log in `directory` one that `server` loads; what was done, "" for a log that is whole or absent.

    Changes nothing when there is no room for a copy."""
    place = directory / FOLDER if (directory / FOLDER).is_dir() else directory / SINGLE
    if not place.exists():
        return ""
    listed = place / MANIFEST if place.is_dir() else place
    if place.is_dir() and not listed.exists() and not any(place.iterdir()):
        return ""
    if listed.exists() and (_is_empty(listed) or is_whole(server, listed)):
        return ""
    try:
        kept = _keep_aside(place)
    except OSError as error:
        log.error("the damaged log of Redis cannot be copied, so that it stays as it is: %s", error)
        return ""
    if listed.exists() and _cut(server, listed) and is_whole(server, listed):
        return f"Redis's log was damaged, and is cut off there; a copy is in {kept}"
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    return f"Redis's log cannot be read, and it starts empty; a copy is in {kept}"


def _is_empty(listed: Path) -> bool:
    """A server that was stopped before the first write leaves such a single file: its checker refuses what it loads."""
    return listed.name == SINGLE and listed.stat().st_size == 0


def is_whole(server: Path, listed: Path) -> bool:
    """Whether redis-check-aof, which is the server under another name, finds nothing wrong."""
    try:
        return all(_check(server, path).returncode == 0 for path in _checked_files(listed))
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("Redis's log is not checked: %s", error)
        return True


def _cut(server: Path, listed: Path) -> bool:
    try:
        *earlier, last = _checked_files(listed)
        return all(_check(server, path).returncode == 0 for path in earlier) and (
            _check(server, last, "--fix").returncode == 0
        )
    except (OSError, subprocess.SubprocessError):
        return False


def _checked_files(listed: Path) -> list[Path]:
    """What the checker is asked about, in the order of writing: the list, or the single file; of Valkey 9 each file by
    itself, because its own checker takes the beginning of its snapshots for damage."""
    if listed.name != MANIFEST:
        return [listed]
    names = re.findall(r"^file (\S+) .*type [bi]", listed.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    files = [listed.parent / name for name in names]
    of_valkey = any(path.suffix == SNAPSHOT and _begins_with(path, b"VALKEY") for path in files)
    return files if of_valkey else [listed]


def _begins_with(path: Path, text: bytes) -> bool:
    if not path.exists():
        return False
    with path.open("rb") as file:
        return file.read(len(text)) == text


def _check(server: Path, path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The program is the server itself, which goes by the name it is called by; Valkey's knows Redis's names."""
    return subprocess.run(
        [CHECK_SNAPSHOT if path.suffix == SNAPSHOT else CHECK_LOG, *options, str(path)],
        executable=server,
        input="y\n",
        capture_output=True,
        text=True,
        errors="replace",
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def _keep_aside(place: Path) -> Path:
    """A copy beside it, of the next number."""
    earlier = {
        int(match[1]): path
        for path in place.parent.iterdir()
        if (match := re.fullmatch(r"damaged-(\d+)", path.name)) and path.is_dir()
    }
    target = place.parent / f"damaged-{max(earlier, default=0) + 1}"
    try:
        target.mkdir()
        if place.is_dir():
            shutil.copytree(place, target / place.name)
        else:
            shutil.copy2(place, target)
    except OSError:
        shutil.rmtree(target, ignore_errors=True)
        raise
    for number in sorted(earlier)[: len(earlier) + 1 - DAMAGED_LOGS_KEPT]:
        shutil.rmtree(earlier[number], ignore_errors=True)
    return target
