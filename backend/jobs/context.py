"""What a worker process opens once and keeps: stores, and for the learner the warm encoder and the live versions."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING

from backend.artifacts.artifacts import open_artifacts
from backend.base_model.encoders import Encoders
from backend.base_model.former import live_manifest
from backend.errors import ArtifactsUnavailable
from backend.jobs.pool_reader import PoolReader
from backend.settings.settings import Settings, current_settings
from backend.store.duplicates.tables import LabelledTables
from backend.store.stores import Stores
from backend.supervision.heartbeat import Deadline
from model.errors import ModelError

if TYPE_CHECKING:
    from model.versions.directory import Manifest
    from model.versions.live_model import LiveModel

KEPT_MODELS = 16
"""Live versions that the learner keeps in memory."""


class Context:
    """One worker's settings, stores and (when asked for) models."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stores = Stores(settings)
        self.encoders = Encoders(settings, book=self.stores.versions.encoders, live=self._live_versions)
        self.pools = PoolReader()
        self.labelled = LabelledTables(self.stores.labelled_texts)
        self.artifacts = open_artifacts(settings, self._versions_in_use)
        self.stopping = False
        self.stops_at = math.inf
        self.deadline = Deadline(settings.data_dir.absolute())
        self._live: OrderedDict[tuple[int, str], LiveModel] = OrderedDict()

    def stop(self) -> None:
        """This worker is to end: what it does has STOP_SECONDS left."""
        if not self.stopping:
            self.stops_at = time.monotonic() + self.settings.stop_seconds
        self.stopping = True

    def keep_alive(self, seconds: float) -> None:
        """A sign of life: without another one within `seconds` this process may be killed."""
        self.deadline.keep(seconds)

    def keep_model(self, project: int, model: LiveModel) -> None:
        """Remember a version that this process has just made."""
        self._live[(project, model.version)] = model

    def live_model(self, project: int, version: str) -> LiveModel:
        """A published version, loaded once. Raises VersionError; ArtifactsUnavailable where it has to be fetched."""
        key = (project, version)
        if key not in self._live:
            if self.artifacts is not None:
                self.artifacts.ensure(project, version)
            self._live[key] = self.encoders.load(project, version)
        self._live.move_to_end(key)
        while len(self._live) > KEPT_MODELS:
            self._live.popitem(last=False)
        return self.as_shown(project, self._live[key])

    def encoder_of(self, project: int, version: str | None) -> str:
        """Digest of the encoder that a version was made with; "" where that cannot be told."""
        found = self.manifest_of(project, version)
        return found.encoder_digest if found is not None else ""

    def manifest_of(self, project: int, version: str | None) -> Manifest | None:
        """That of a version, whichever machine has its files; None where it cannot be had."""
        from model.versions.directory import parse_manifest

        found = live_manifest(self.settings, project, version)
        if found is None and version and self.artifacts is not None:  # a new machine: its files come when wanted
            with suppress(ModelError, ArtifactsUnavailable):
                text = self.artifacts.versions.manifest(project, version)
                found = parse_manifest(text, version) if text else None
        return found

    def _versions_in_use(self) -> set[tuple[int, str]]:
        """Raises StoreUnavailable."""
        live = self._live_versions().items()
        return {(project, version) for project, version in live if version} | set(self._live)

    def _live_versions(self) -> dict[int, str | None]:
        return self.stores.versions.live_of(self.stores.projects.projects())

    def as_shown(self, project: int, model: LiveModel) -> LiveModel:
        """The model as it shows spans of this project."""
        return model.showing(self.stores.projects.spans_show(project) or self.settings.spans_show)


@lru_cache(maxsize=1)
def context() -> Context:
    return Context(current_settings())
