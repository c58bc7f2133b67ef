"""Which versions there are, by their manifests: of the store as far as it answers, and of this machine."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from backend.artifacts.artifacts import AWAY_SECONDS, Artifacts
from backend.artifacts.layout import order_of
from backend.artifacts.stored_versions import StoredVersions
from backend.errors import ArtifactsUnavailable
from model.errors import VersionError

if TYPE_CHECKING:
    from model.versions.directory import Manifest

log = logging.getLogger(__name__)

LISTED_SECONDS = 5.0
"""For so long a list of names counts: pages that are open ask again and again."""


class Catalog:
    """The manifests of a store, each read once: they never change. Thread-safe."""

    def __init__(self, versions: StoredVersions) -> None:
        self._versions = versions
        self._texts: dict[int, dict[str, bytes]] = {}
        self._listed: dict[int, float] = {}
        self._guard = threading.Lock()

    def texts(self, project: int) -> dict[str, bytes]:
        """The manifest of each complete version. What was read last while the store is away."""
        with self._guard:
            known = self._texts.get(project, {})
            fresh = time.monotonic() - self._listed.get(project, float("-inf")) < LISTED_SECONDS
        if fresh or self._versions.store.watch.failed_within(AWAY_SECONDS):
            return known
        try:
            names = self._versions.names(project)
            new = self._versions.manifests(project, [name for name in names if name not in known])
        except ArtifactsUnavailable as error:
            log.warning("versions of the object store as they were last: %s", error.message)
            return known
        with self._guard:
            self._texts[project] = {name: text for name, text in {**known, **new}.items() if name in names}
            self._listed[project] = time.monotonic()
            return self._texts[project]


def kept_manifests(root: Path, project: int, catalog: Catalog | None) -> list[Manifest]:
    """Manifests of all versions of a project that can be served or rolled back to, oldest name first."""
    from model.versions.directory import list_versions, parse_manifest

    here = list_versions(root, project)
    if catalog is None:
        return here
    found = {manifest.version: manifest for manifest in here}
    for version, text in catalog.texts(project).items():
        try:
            found[version] = parse_manifest(text, version)
        except VersionError as error:
            log.warning("project=%s: %s", project, error.message)
    return [found[version] for version in sorted(found, key=order_of)]


def known_names(artifacts: Artifacts, project: int) -> Sequence[str]:
    """Names that are taken, here or in the store; of this machine alone while that is away."""
    here = set(artifacts.cache.names(project))
    if artifacts.store.watch.failed_within(AWAY_SECONDS):
        return sorted(here, key=order_of)
    try:
        return sorted(here | set(artifacts.versions.names(project)), key=order_of)
    except ArtifactsUnavailable as error:
        log.warning("names on this machine alone: %s", error.message)
        return sorted(here, key=order_of)
