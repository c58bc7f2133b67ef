"""What a process has of the object store: versions are handed over to it, and brought from it to this machine.

Only where ARTIFACTS_URL is set; without it nothing of this room is entered.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from backend.artifacts.layout import MANIFEST, read_listing
from backend.artifacts.local_cache import LocalCache, Names
from backend.artifacts.object_store import ObjectStore
from backend.artifacts.stored_versions import StoredVersions
from backend.errors import ArtifactsUnavailable, StoreUnavailable
from backend.settings.settings import Settings
from model.errors import MissingArtifact, VersionError

log = logging.getLogger(__name__)

PAUSES = (0.1, 0.5)
"""Seconds before the second and third attempt to hand a version over: a store that only stumbled."""

AWAY_SECONDS = 60.0
"""After a failure, for so long what is on this machine is used without asking the store: one that hangs costs 40 s. A
web process and a scheduler ask it every 15 s whether it is back, on threads of their own."""

TRIM_SECONDS = 60.0
"""Between two looks at how much lies on this machine."""


class Artifacts:
    """Safe from several threads. `in_use`: the versions that must stay on this machine, asked for before any goes."""

    def __init__(self, settings: Settings, in_use: Callable[[], Names]) -> None:
        self.store = ObjectStore(settings.artifacts_url)
        self.versions = StoredVersions(self.store)
        self.cache = LocalCache(settings.models_dir, settings.artifacts_cache_mb << 20)
        self._in_use = in_use
        self._owners_there: set[tuple[int, str]] = set()
        self._trimmed = time.monotonic()

    def push(self, project: int, version: str) -> None:
        """Hand a version of this machine over, and first the one that holds its encoder. When this returns, the store
        gives back what was written. Raises ArtifactsUnavailable, ArtifactConflict, VersionError, OSError."""
        owner = self.cache.owner(project, version)
        if owner is not None and (project, owner) not in self._owners_there:
            if not self.versions.exists(project, owner):
                self.versions.push(self.cache.path(project, owner), project, owner)
            self._owners_there.add((project, owner))
        began = time.monotonic()
        self.versions.push(self.cache.path(project, version), project, version)
        log.info("in the object store project=%s version=%s seconds=%.3f", project, version, time.monotonic() - began)
        self.trim()

    def hand_over(self, project: int, version: str) -> None:
        """As `push`, of a version that is made anew when that fails: then nothing of it is left here."""
        for pause in (*PAUSES, None):
            try:
                return self.push(project, version)
            except ArtifactsUnavailable:
                if pause is None:
                    self.cache.drop(project, version)
                    raise
                time.sleep(pause)
            except BaseException:
                self.cache.drop(project, version)
                raise

    def ensure(self, project: int, version: str) -> Path:
        """Its directory on this machine, fetched where it is missing or another one, with its encoder's.

        A store that is away does not matter for what is here. Raises ArtifactsUnavailable, MissingArtifact,
        DamagedArtifact, OSError when the disk refuses."""
        path = self.cache.path(project, version)
        here = self.cache.has(project, version)
        if not (here and self.store.watch.failed_within(AWAY_SECONDS)):
            self._fetch(project, version, path, here)
        self.cache.note_use(project, version)
        if owner := self.cache.owner(project, version):
            self.cache.note_use(project, owner)
        return path

    def _fetch(self, project: int, version: str, path: Path, here: bool) -> None:
        try:
            text = self.versions.manifest(project, version)
            if text is None:
                raise MissingArtifact(f"the object store has no {version} of project {project}", version=version)
            owner = read_listing(text, project, version).owner
            if owner is not None:
                self.versions.fetch(project, owner, self.cache.path(project, owner))
            self.versions.fetch(project, version, path)
        except (ArtifactsUnavailable, MissingArtifact) as error:
            if not here:
                raise
            log.warning("used as it is on this machine project=%s version=%s: %s", project, version, error.message)
        else:
            if not here:
                self.trim()

    def ensure_if_there(self, project: int, version: str) -> bool:
        """As `ensure`, for what can be done without."""
        try:
            self.ensure(project, version)
        except (ArtifactsUnavailable, VersionError, OSError) as error:
            log.warning("done without project=%s version=%s: %s", project, version, error)
            return False
        return True

    def share(self, project: int, version: str) -> Path:
        """As `ensure`; and where this machine alone has it, the store has it, too, when this returns."""
        path = self.ensure(project, version)
        if not self.store.watch.now.is_away and not self.versions.exists(project, version):
            self.push(project, version)
        return path

    def has(self, project: int, version: str) -> bool:
        """Whether it is on this machine or, as far as that can be told, in the store."""
        try:
            if (self.cache.path(project, version) / MANIFEST).is_file():
                return True
            return self.versions.exists(project, version)
        except ValueError:
            return False

    def trim(self) -> None:
        """Keep the cache in its bounds, now and then. What cannot be asked is left for the next time."""
        if time.monotonic() - self._trimmed < TRIM_SECONDS:
            return
        self._trimmed = time.monotonic()
        try:
            self.cache.trim(self._in_use(), self.versions.exists)
        except (StoreUnavailable, ArtifactsUnavailable, OSError) as error:
            log.warning("versions on this machine were not looked through: %s", error)


def open_artifacts(settings: Settings, in_use: Callable[[], Names]) -> Artifacts | None:
    """None where ARTIFACTS_URL is not set."""
    return Artifacts(settings, in_use) if settings.artifacts_url else None
