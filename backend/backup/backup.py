"""`understudy backup`: while everything runs. Examples, configs, pools, pins, evidence, history, counters, versions; no
secret, and nothing of work under way."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

from backend.backup.archive import ArchiveWriter, BackupFacts
from backend.backup.dump import Dump
from backend.embedded_redis.server import redis_at_hand
from backend.settings.settings import Settings
from backend.store.stores import Stores

log = logging.getLogger(__name__)

STORE, MODELS = "store", "models"
"""Folders in the archive: `store/7.jsonl` (and `store/rest.jsonl`), `models/7/v0.3/…`."""


def make_backup(settings: Settings, path: Path) -> dict[str, int]:
    """Writes `path`; counts of projects, examples and versions in it. An existing file is replaced when all is written.

    Raises StoreUnavailable, and OSError when the disk refuses."""
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
            counts["projects"] += 1
            counts["examples"] += stores.examples.count(project)
            # After the store: the version that is live there is on disk, and stays for an hour.
            counts["versions"] += _add_versions(archive, settings.models_dir, project)
    return counts


def _add_versions(archive: ArchiveWriter, root: Path, project: int) -> int:
    """The number added. Damaged ones are of no use, and would keep the rest from being restored."""
    from model.errors import VersionError
    from model.versions.directory import files_of, names_on_disk, verify_version, version_path

    count = 0
    for version in sorted(names_on_disk(root, project)):
        folder, place = f"{MODELS}/{project}/{version}/", version_path(root, project, version)
        try:
            verify_version(place)
            for file in files_of(place):
                archive.add_file(folder + file.relative_to(place).as_posix(), file)
            count += 1
        except VersionError as error:
            log.warning("left out of the backup: %s", error)
        except FileNotFoundError:  # deleted as old meanwhile
            archive.forget(folder)
    return count
