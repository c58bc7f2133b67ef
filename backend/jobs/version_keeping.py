"""Which versions there are and which are deleted, as the scheduler sees it: on this disk, or in the object store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from backend.artifacts.artifacts import Artifacts
from backend.artifacts.catalog import Catalog, kept_manifests, known_names
from backend.artifacts.layout import CLOCK
from backend.artifacts.retention import YOUNG_SECONDS, Retention
from backend.errors import ArtifactsUnavailable, NotFound, StoreUnavailable
from backend.export.archive.stored import StoredExports
from backend.jobs.context import Context
from backend.outcomes import FINAL_STATES

if TYPE_CHECKING:
    from model.versions.directory import Manifest

log = logging.getLogger(__name__)

LISTED_SECONDS = 600.0
"""Between two looks for projects that the store holds and Redis does not know."""

PUSH_AGE_SECONDS = 600.0
"""A version that only this machine has is handed over when it is older: a learner may be doing so."""

PROBE_SECONDS = 15.0
"""Between two questions whether a store that was away is back."""


class VersionKeeping:
    """Of one scheduler."""

    def __init__(self, work: Context) -> None:
        self.settings, self.stores, self.artifacts = work.settings, work.stores, work.artifacts
        self._catalog = Catalog(self.artifacts.versions) if self.artifacts is not None else None
        self._projects: set[int] = set()
        self._listed = self._probed = float("-inf")
        self._was_away = False
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="versions")
        self._looking: Future[None] | None = None
        self._collecting: Future[None] | None = None

    def names(self, project: int) -> list[str]:
        """Names that are taken."""
        from model.versions.directory import names_on_disk

        if self.artifacts is None:
            return names_on_disk(self.settings.models_dir, project)
        return list(known_names(self.artifacts, project))

    def projects(self) -> set[int]:
        """Projects with versions."""
        root = self.settings.models_dir
        here = {int(path.name) for path in root.iterdir() if path.name.isdigit()} if root.is_dir() else set()
        return here | self._projects

    def manifests(self, project: int) -> list[Manifest]:
        """Of all versions that can be served."""
        return kept_manifests(self.settings.models_dir, project, self._catalog)

    def look(self) -> None:
        """Now and then, on a thread of its own: which projects the store has, and whether it is back. Never waits."""
        if self.artifacts is None or (self._looking is not None and not self._looking.done()):
            return
        if time.monotonic() - self._probed > PROBE_SECONDS:
            self._probed = time.monotonic()
            self._looking = self._pool.submit(self._beside, self.notice_return)

    def notice_return(self) -> None:
        """When the store is back, what had failed for want of it is tried again at once. Raises StoreUnavailable."""
        if self.artifacts is None:
            return
        try:
            if self._was_away or time.monotonic() - self._listed > LISTED_SECONDS:
                self._projects = set(self.artifacts.versions.projects())
                self._listed = time.monotonic()
            else:
                self.artifacts.store.facts(CLOCK)
        except ArtifactsUnavailable:
            self._was_away = True
            return
        if self._was_away:
            self._was_away = False
            log.warning("the object store is back: work that waited for it is tried again")
            for project in self.stores.projects.projects():
                for kind, trouble in self.stores.failures.describe(project).items():
                    if "object store" in trouble["error"]:
                        self.stores.failures.release(project, kind)

    def collect_all(self, projects: Sequence[int], read: Mapping[int, Collection[str]]) -> None:
        """Delete what is old: at once on this disk, or from the store on a thread of its own. Raises
        StoreUnavailable."""
        if self.artifacts is None:
            return self._collect_all(projects, read)
        if self._collecting is None or self._collecting.done():
            self._collecting = self._pool.submit(self._beside, lambda: self._collect_all(projects, read))

    def _collect_all(self, projects: Sequence[int], read: Mapping[int, Collection[str]]) -> None:
        for project in projects:
            if deleted := self.collect(project, read.get(project, ())):
                log.info("versions deleted project=%s: %s", project, ", ".join(deleted))
        self.sweep_runs()
        self.sweep_exports()

    @staticmethod
    def _beside(work: Callable[[], None]) -> None:
        """What goes wrong on the other thread is said, and done again when it is due."""
        try:
            work()
        except StoreUnavailable as error:
            log.warning("versions were not looked through: %s", error.message)
        except Exception:  # of one project's data: the thread must outlive it
            log.exception("versions were not looked through")

    def collect(self, project: int, read: Collection[str] = ()) -> list[str]:
        """Delete what is old; the names. `read`: versions that exports and the like read. Raises StoreUnavailable."""
        from model.versions.directory import collect_garbage

        if self.artifacts is None:
            pointers = (self.stores.versions.live(project), self.stores.versions.pinned(project), *read)
            used = {name for name in pointers if name}
            return collect_garbage(self.settings.models_dir, project, used, self.settings.keep_versions)
        try:
            return self._collect(self.artifacts, project, read)
        except ArtifactsUnavailable as error:
            log.warning("nothing was deleted from the object store: %s", error.message)
            return []

    def _collect(self, artifacts: Artifacts, project: int, read: Collection[str]) -> list[str]:
        retention = Retention(artifacts.versions, self.settings.keep_versions)
        self._hand_over(artifacts, retention, project, read)
        swept = retention.sweep(project, lambda: self.in_use(project, read))
        for name in swept.deleted:
            artifacts.cache.drop(project, name)
        if swept.halves:
            log.info("half-written files deleted project=%s: %s", project, ", ".join(swept.halves))
        return list(swept.deleted)

    def _hand_over(self, artifacts: Artifacts, retention: Retention, project: int, read: Collection[str]) -> None:
        """What this machine has and the store lacks, as on the day that ARTIFACTS_URL is set: what is worth keeping."""
        here, stored = set(artifacts.cache.names(project)), set(artifacts.versions.names(project))
        kept = retention.kept(stored | here, self.in_use(project, read), project)
        for name in sorted(kept & here - stored):
            directory = artifacts.cache.path(project, name)
            try:
                if time.time() - directory.stat().st_mtime > PUSH_AGE_SECONDS:
                    artifacts.push(project, name)
            except ArtifactsUnavailable:
                raise
            except Exception as error:  # damaged or gone: of one version
                log.warning("not handed over project=%s version=%s: %s", project, name, error)

    def in_use(self, project: int, read: Collection[str] = ()) -> set[str]:
        """Versions that are live, were so within the hour, are pinned or read by somebody. Raises StoreUnavailable."""
        versions = self.stores.versions
        since = time.time() - YOUNG_SECONDS
        moves = [move for move in versions.history(project) if float(move["at"]) > since]
        moved = [name for move in moves for name in (move["version"], move["from"])]
        return {name for name in (*moved, versions.live(project), versions.pinned(project), *read) if name}

    def sweep_runs(self) -> None:
        """Checkpoints of trainings that are over. Raises StoreUnavailable."""
        if self.artifacts is None:
            return
        try:
            if swept := Retention(self.artifacts.versions, self.settings.keep_versions).sweep_runs(self._is_over):
                log.info("checkpoints deleted: %s", ", ".join(swept))
        except ArtifactsUnavailable as error:
            log.warning("checkpoints were not looked through: %s", error.message)

    def sweep_exports(self) -> None:
        """Finished exports that are old, and halves of others. Raises StoreUnavailable."""
        if self.artifacts is None:
            return
        stored = StoredExports(self.artifacts.store)
        try:
            for project in stored.projects():
                busy = self.stores.exports.running([project])
                now = Retention(self.artifacts.versions, self.settings.keep_versions).now()
                if swept := stored.sweep(project, now, busy[project]["id"] if busy else ""):
                    log.info("exports deleted project=%s: %s", project, ", ".join(swept))
        except ArtifactsUnavailable as error:
            log.warning("exports were not looked through: %s", error.message)

    def _is_over(self, job: str) -> bool:
        try:
            return self.stores.jobs.get(job)["status"] in FINAL_STATES
        except NotFound:
            return True
