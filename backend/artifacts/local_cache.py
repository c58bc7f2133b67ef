"""The version directories of this machine as a cache of the object store: bounded, least recently used first."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from backend.artifacts.layout import MANIFEST, VERSION_NAME

log = logging.getLogger(__name__)

Names = Collection[tuple[int, str]]
"""Versions: (project, version)."""

LEFT_SECONDS = 3600.0
"""After which an unfinished directory belongs to no process any more."""

UNSTORED_SECONDS = 86_400.0
"""For so long a version that the store does not hold stays, however full the cache is: it may be on its way there."""

RECENT_SECONDS = 600.0
"""A version that was used so recently may be being loaded: it stays, however full the cache is."""


@dataclass(frozen=True)
class _Kept:
    project: int
    version: str
    path: Path
    bytes: int
    used_at: float


class LocalCache:
    """`<root>/<project>/<version>/`; when each was used last is the time of its directory."""

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self.root, self.limit_bytes = root, limit_bytes
        self.bytes = 0
        """When it was last counted."""
        self._sizes: dict[Path, int] = {}

    def path(self, project: int, version: str) -> Path:
        """Where a version lies, or would. Raises ValueError for no version's name."""
        if not VERSION_NAME.fullmatch(version):
            raise ValueError(f"{version[:40]!r} is not a version name")
        return self.root / str(int(project)) / version

    def has(self, project: int, version: str) -> bool:
        """Whether it is here, and the version that holds its encoder."""
        if not (self.path(project, version) / MANIFEST).is_file():
            return False
        owner = self.owner(project, version)
        return owner is None or (self.path(project, owner) / MANIFEST).is_file()

    def owner(self, project: int, version: str) -> str | None:
        """The other version that holds its encoder, as its manifest here says."""
        try:
            owner = json.loads((self.path(project, version) / MANIFEST).read_bytes()).get("finetuned")
        except (OSError, ValueError, AttributeError):
            return None
        return owner if isinstance(owner, str) and owner != version and VERSION_NAME.fullmatch(owner) else None

    def names(self, project: int) -> list[str]:
        """Versions of a project that are here."""
        folder = self.root / str(int(project))
        found = folder.iterdir() if folder.is_dir() else ()
        return [path.name for path in found if VERSION_NAME.fullmatch(path.name)]

    def projects(self) -> list[int]:
        """Projects with versions here."""
        found = self.root.iterdir() if self.root.is_dir() else ()
        return sorted(int(path.name) for path in found if path.name.isdecimal())

    def note_use(self, project: int, version: str) -> None:
        """It is used now."""
        with suppress(OSError):
            os.utime(self.path(project, version))

    def drop(self, project: int, version: str) -> bool:
        """Delete it, out of sight first; whether this process did."""
        path = self.path(project, version)
        trash = path.with_name(f".trash-{version}-{os.getpid()}-{time.monotonic_ns()}")
        try:
            os.rename(path, trash)
        except OSError:
            return False
        shutil.rmtree(trash, ignore_errors=True)
        self._sizes.pop(path, None)
        return True

    def trim(self, in_use: Names, is_stored: Callable[[int, str], bool]) -> list[str]:
        """Delete what was not used for longest until the limit is kept; what was deleted, as `project version`.

        What is in use stays, with its encoders, and for a day what the store does not hold: what is live may need more
        than the limit."""
        self._sweep_leftovers()
        kept = sorted(self._kept(), key=lambda one: one.used_at)
        self.bytes = sum(one.bytes for one in kept)
        used = {*in_use, *self._owners(in_use)}
        dropped = []
        for one in kept:
            if self.bytes <= self.limit_bytes or time.time() - one.used_at < RECENT_SECONDS:
                break
            is_old = time.time() - one.used_at > UNSTORED_SECONDS
            if (one.project, one.version) in used or not (is_old or is_stored(one.project, one.version)):
                continue
            if self.drop(one.project, one.version):
                self.bytes -= one.bytes
                dropped.append(f"{one.project} {one.version}")
        if dropped:
            log.info("versions dropped from this machine, the object store has them: %s", ", ".join(dropped))
        return dropped

    def _owners(self, names: Names) -> Iterator[tuple[int, str]]:
        for project, version in names:
            if owner := self.owner(project, version):
                yield project, owner

    def _kept(self) -> Iterator[_Kept]:
        for project in self.projects():
            for version in self.names(project):
                path = self.path(project, version)
                with suppress(OSError):
                    yield _Kept(project, version, path, self._size(path), path.stat().st_mtime)

    def _sweep_leftovers(self) -> None:
        """Of processes that died while they wrote or deleted."""
        for path in [*self.root.glob("*/.tmp-*"), *self.root.glob("*/.trash-*")]:
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > LEFT_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)

    def _size(self, path: Path) -> int:
        """Versions are immutable, so that each is counted once."""
        if path not in self._sizes:
            self._sizes[path] = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        return self._sizes[path]
