"""`understudy backup`: while everything runs. Examples, configs, pools, pins, evidence, history, counters, versions; no
secret, and nothing of work under way."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

from backend.artifacts.artifacts import Artifacts, open_artifacts
from backend.artifacts.files import send_file
from backend.backup.archive import ArchiveWriter, BackupFacts, check_name
from backend.backup.dump import Dump
from backend.embedded_redis.server import redis_at_hand
from backend.settings.settings import Settings
from backend.store.stores import Stores

log = logging.getLogger(__name__)

STORE, MODELS = "store", "models"
"""Folders in the archive: `store/7.jsonl` (and `store/rest.jsonl`), `models/7/v0.3/…`."""


def make_backup(settings: Settings, place: Path | str) -> dict[str, int]:
    """Writes a file, or an object at an address; counts of projects, examples and versions in it. What is there is
    replaced when all is written.

    Raises BadRequest for a name that promises another format, StoreUnavailable, ArtifactsUnavailable, and OSError when
    the disk refuses."""
    check_name(place.name if isinstance(place, Path) else place)
    if isinstance(place, Path):
        return _make(settings, place)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".backup-", dir=settings.data_dir) as folder:
        path = Path(folder) / place.rpartition("/")[2]
        counts = _make(settings, path)
        send_file(path, place)
    return counts


def _make(settings: Settings, path: Path) -> dict[str, int]:
    with redis_at_hand(settings):
        stores = Stores(settings)
        try:
            stores.verify()
            return _write(settings, stores, path)
        finally:
            stores.close()


def _write(settings: Settings, stores: Stores, path: Path) -> dict[str, int]:
    dump, counts = Dump(stores.client), {"projects": 0, "examples": 0, "versions": 0}
    facts: BackupFacts = {
        "schema": dump.schema(),
        "understudy": metadata.version("understudy"),
        "made_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    with ArchiveWriter(path, facts) as archive:
        for project, keys in sorted(dump.index().items(), key=lambda item: item[0] or 0):
            if project is None:
                archive.add_lines(f"{STORE}/rest.jsonl", dump.read(keys))
                continue
            archive.add_lines(f"{STORE}/{project}.jsonl", dump.read_project(project, keys))
            counts["projects"] += stores.projects.knows(project)  # one that is gone may have left a key
            counts["examples"] += stores.examples.count(project)
            # After the store: the version that is live there is on disk, and stays for an hour.
            counts["versions"] += _add_versions(archive, settings.models_dir, project)
            if (artifacts := open_artifacts(settings, frozenset)) is not None:
                counts["versions"] += _add_stored(archive, artifacts, project, settings.data_dir)
    return counts


def _add_versions(archive: ArchiveWriter, root: Path, project: int) -> int:
    """The number added. Damaged ones are of no use, and would keep the rest from being restored."""
    from model.versions.directory import names_on_disk, version_path

    names = sorted(names_on_disk(root, project))
    return sum(_add_version(archive, project, version_path(root, project, version)) for version in names)


def _add_version(archive: ArchiveWriter, project: int, place: Path) -> bool:
    from model.errors import VersionError
    from model.versions.directory import files_of, verify_version

    folder = f"{MODELS}/{project}/{place.name}/"
    try:
        verify_version(place)
        for file in files_of(place):
            archive.add_file(folder + file.relative_to(place).as_posix(), file)
        return True
    except VersionError as error:
        log.warning("left out of the backup: %s", error)
    except FileNotFoundError:  # deleted as old meanwhile
        archive.forget(folder)
    return False


def _add_stored(archive: ArchiveWriter, artifacts: Artifacts, project: int, data_dir: Path) -> int:
    """Of the object store, those that this machine has not: the number added. Raises ArtifactsUnavailable."""
    from model.errors import VersionError

    count = 0
    for version in sorted(set(artifacts.versions.names(project)) - set(artifacts.cache.names(project))):
        with TemporaryDirectory(prefix=".backup-", dir=data_dir) as folder:
            place = Path(folder) / version
            try:
                artifacts.versions.fetch(project, version, place)
                count += _add_version(archive, project, place)
            except VersionError as error:  # half-written, damaged, or deleted as old meanwhile
                log.warning("left out of the backup: %s", error)
    return count
