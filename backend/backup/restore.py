"""`understudy restore`: a backup into an empty store, or in place of what is there. All of it is checked before any of
it is written."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backend.backup.archive import open_archive
from backend.backup.backup import MODELS, STORE
from backend.embedded_redis import redis_at_hand
from backend.errors import BadRequest, Conflict
from backend.settings import Settings
from backend.store.stores import Stores


def restore_backup(settings: Settings, path: Path, *, force: bool = False) -> dict[str, int]:
    """Writes what is in `path` to Redis and DATA_DIR, migrated to this release's schema; counts as `make_backup`'s.

    Raises BadRequest for a backup that is damaged or newer, Conflict when understudy runs, or when there is something
    already and `force` does not say to replace it; StoreUnavailable, OSError."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=settings.data_dir) as folder, redis_at_hand(settings):
        scratch = Path(folder)
        listing = open_archive(path, scratch)
        stores = Stores(settings)
        try:
            stores.verify()
            _require_room(stores, listing, force)
            versions = _install_versions(scratch / MODELS, settings.models_dir, listing["files"], force)
            return {**_load(stores, scratch / STORE, int(listing["schema"])), "versions": versions}
        finally:
            stores.close()


def _require_room(stores: Stores, listing: dict[str, Any], force: bool) -> None:
    dump, schema = stores.dump(), int(listing.get("schema", 0))
    if not 1 <= schema <= dump.newest_schema:
        raise BadRequest(
            f"the backup has schema {schema}, this release knows {dump.newest_schema}: restore it with understudy "
            f"{listing.get('understudy')} or newer",
            field="file",
        )
    if dump.is_in_use():
        raise Conflict("understudy is running on this Redis: stop it first (only Redis itself may run)")
    if not dump.is_empty() and not force:
        raise Conflict("there are projects in this Redis already: --force replaces all of them")
    dump.clear()


def _install_versions(source: Path, target: Path, files: dict[str, Any], force: bool) -> int:
    """Moves whole version directories to where they belong; how many. Those that are there already stay."""
    from model.versions import verify_version, version_path

    wanted = sorted({tuple(name.split("/")[1:3]) for name in files if name.startswith(f"{MODELS}/")})
    for project, version in wanted:
        folder = source / project / version
        verify_version(folder)
        place = version_path(target, int(project), version)
        if place.exists() and (place / "manifest.json").read_bytes() != (folder / "manifest.json").read_bytes():
            if not force:
                raise Conflict(f"another {version} of project {project} is in {target}: --force replaces it")
            shutil.rmtree(place)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            os.rename(folder, place)
    return len(wanted)


def _load(stores: Stores, source: Path, schema: int) -> dict[str, int]:
    dump = stores.dump()
    dump.set_schema(schema)  # of what follows; a restore that is cut off here is one that needs --force
    for file in sorted(source.glob("*.jsonl")):
        dump.write(_lines(file))
    dump.migrate()
    projects = stores.projects.projects()
    for project in projects:
        stores.projects.mark_dirty(project, "restored from a backup")
    return {"projects": len(projects), "examples": sum(map(stores.examples.count, projects))}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
