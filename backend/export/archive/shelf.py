"""Where finished exports lie: `<DATA_DIR>/exports/<project>/<id>.zip`, and beside it `<id>.json`, which tells of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Protocol

from backend.errors import NoSpace, NotFound
from model.spec import JsonObject

ARCHIVES_KEPT = 5
"""Of each project, the newest."""

ARCHIVE_DAYS = 7.0
"""After which an archive is deleted: whoever wants it again has it made again."""

SCRATCH_HOURS = 48.0
"""After which the work of an export that nobody ended is deleted; none may take so long."""

EXPORT_ID = re.compile(r"export-[0-9]{1,18}-[0-9a-f]{10}")


@dataclass(frozen=True)
class Archive:
    """A finished export. `name`: of the file as people get it; `parity`: rows of parity.json; `refused`: graphs that
    were left out; `at` in epoch seconds; `texts` and `minutes`: as they were asked for, and as they were before one
    could."""

    id: str
    project: int
    format: str
    version: str
    control: str
    int8: bool
    accept_loss: bool
    name: str
    bytes: int
    sha256: str
    at: float
    parity: list[JsonObject]
    refused: list[str]
    texts: int = 200
    minutes: float = 10.0


class Readable(Protocol):
    """The bytes of an archive."""

    def read(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


class Shelf:
    """The archives of one project; nothing is made before something is put there."""

    def __init__(self, root: Path, project: int) -> None:
        self.directory = root / str(int(project))

    def scratch(self, export: str) -> Path:
        """Where one is made. Raises NotFound for what is no id."""
        return self.directory / _checked(export)

    def put(self, archive: Path, about: Archive) -> None:
        """Takes the file `archive`; what it holds is there whole, or not at all."""
        beside = self.directory / f"{_checked(about.id)}.json"
        scratch = beside.with_suffix(".tmp")
        scratch.write_text(json.dumps(asdict(about)) + "\n", encoding="utf-8")
        os.replace(archive, beside.with_suffix(".zip"))
        os.replace(scratch, beside)

    def archives(self) -> list[Archive]:
        """Newest first; what cannot be read is left out."""
        found = [about for path in self._sidecars() if (about := _read(path)) is not None]
        return sorted(found, key=lambda one: -one.at)

    def open(self, export: str) -> tuple[Archive, IO[bytes]]:
        """The archive and its bytes, which stay readable though it is swept meanwhile. Raises NotFound."""
        path = self.directory / f"{_checked(export)}.json"
        about = _read(path)
        if about is not None:
            with suppress(OSError):
                descriptor = os.open(path.with_suffix(".zip"), os.O_RDONLY | os.O_NOFOLLOW)
                file = open(descriptor, "rb")  # noqa: SIM115  # the reply closes it
                if os.fstat(descriptor).st_size == about.bytes:
                    return about, file
                file.close()
        raise no_more(export)

    def sweep(self, now: float, busy: str = "") -> list[str]:
        """Deletes what is too old or too much, and the rests of exports that nobody ended but `busy`; their names."""
        kept = [one.id for one in self.archives() if now - one.at < ARCHIVE_DAYS * 86400][:ARCHIVES_KEPT]
        gone = []
        with suppress(FileNotFoundError):
            for path in sorted(self.directory.iterdir()):
                if path.name.partition(".")[0] not in (*kept, busy) and self._is_over(path, now):
                    _delete(path)
                    gone.append(path.name)
        return gone

    def _is_over(self, path: Path, now: float) -> bool:
        """Whether it is an archive, or so old that nobody works on it any more."""
        if path.suffix in (".zip", ".json"):
            return True
        with suppress(OSError):
            return now - path.lstat().st_mtime > SCRATCH_HOURS * 3600
        return False

    def _sidecars(self) -> Iterator[Path]:
        with suppress(FileNotFoundError):
            yield from (path for path in self.directory.iterdir() if path.suffix == ".json")


def no_more(export: str) -> NotFound:
    """Of an archive that was deleted, or is not what was put there."""
    return NotFound(f"{export} is not there any more: export it again")


def require_room(directory: Path, needed: int) -> None:
    """Raises NoSpace where fewer than `needed` bytes are free."""
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise NoSpace(
            f"the disk of DATA_DIR has {free / 1e6:.0f} MB free, and this export takes about {needed / 1e6:.0f} MB "
            "while it is made: free some space, or delete old versions (KEEP_VERSIONS)"
        )


def sweep_all(root: Path, busy: dict[int, str]) -> list[str]:
    """`Shelf.sweep` of every project; `busy`: project -> the export that runs."""
    found = [path for path in root.iterdir() if path.name.isdigit()] if root.is_dir() else []
    return [
        f"{path.name}/{name}"
        for path in found
        for name in Shelf(root, int(path.name)).sweep(time.time(), busy.get(int(path.name), ""))
    ]


def _checked(export: str) -> str:
    """Raises NotFound."""
    if not EXPORT_ID.fullmatch(export):
        raise NotFound("there is no such export")
    return export


def _read(path: Path) -> Archive | None:
    try:
        return Archive(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
