"""`understudy restore`: a backup into an empty store, or in place of what is there. All of it is checked before any of
it is written."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from backend.artifacts.artifacts import Artifacts, open_artifacts
from backend.artifacts.files import bring_file
from backend.backup.archive import Listing, open_archive
from backend.backup.backup import MODELS, STORE
from backend.backup.dump import Dump, Line
from backend.embedded_redis.server import redis_at_hand
from backend.errors import BadRequest, Conflict
from backend.settings.settings import Settings
from backend.store.stores import Stores


def restore_backup(settings: Settings, place: Path | str, *, force: bool = False) -> dict[str, int]:
    """Writes what is in a file, or at an address, to Redis, DATA_DIR and the object store where there is one, taken on
    as of this release's schema; counts as `make_backup`'s.

    Raises BadRequest for a backup that is damaged or newer, Conflict when understudy runs, or when there is something
    already and `force` does not say to replace it; StoreUnavailable, ArtifactsUnavailable, OSError."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=settings.data_dir) as folder, redis_at_hand(settings):
        scratch = Path(folder) / "backup"
        scratch.mkdir()
        listing = open_archive(_at_hand(place, Path(folder)), scratch)
        stores = Stores(settings)
        try:
            stores.verify()
            _require_room(stores, listing, force)
            _check_lines(scratch / STORE)
            moves = _plan_moves(scratch / MODELS, settings.models_dir, listing["files"], force)
            artifacts = open_artifacts(settings, frozenset)
            if artifacts is not None:
                _make_way(artifacts, moves, force)
            for source, target in moves:
                _put(source, target)
            if artifacts is not None:
                for _, target in moves:
                    artifacts.push(int(target.parent.name), target.name)
            return {**_load(stores, scratch / STORE, int(listing["schema"])), "versions": len(moves)}
        finally:
            stores.close()


def _at_hand(place: Path | str, folder: Path) -> Path:
    if isinstance(place, Path):
        return place
    path = folder / place.rpartition("/")[2]
    bring_file(place, path)
    return path


def _make_way(artifacts: Artifacts, moves: Iterable[tuple[Path, Path]], force: bool) -> None:
    """Take other versions of the same names out of the object store. Raises Conflict where `force` does not say so."""
    for source, target in moves:
        project, version = int(target.parent.name), target.name
        there = artifacts.versions.manifest(project, version)
        if there is None or there == (source / "manifest.json").read_bytes():
            continue
        if not force:
            raise Conflict(f"another {version} of project {project} is in {artifacts.store.url}: --force replaces it")
        artifacts.versions.delete(project, version)


def _require_room(stores: Stores, listing: Listing, force: bool) -> None:
    dump, schema = Dump(stores.client), int(listing.get("schema", 0))
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


def _check_lines(source: Path) -> None:
    """Nothing but our own keys is written, whoever made the file. Raises BadRequest."""
    for file in sorted(source.glob("*.jsonl")):
        try:
            foreign = next((line["key"] for line in _lines(file) if not line["key"].startswith("understudy:")), None)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadRequest(f"{file.name} holds no keys: {error}", field="file") from error
        if foreign is not None:
            raise BadRequest(f"{file.name} holds {foreign!r}, which is not understudy's", field="file")


def _plan_moves(source: Path, target: Path, files: Iterable[str], force: bool) -> list[tuple[Path, Path]]:
    """(version directory, where it belongs) of each version, verified. Raises BadRequest, Conflict or VersionError."""
    from model.versions.directory import verify_version, version_path
    from model.versions.encoder_files import IMPORTED

    moves = []
    named = [Path(name).parent for name in files if name.startswith(f"{MODELS}/")]
    for folder in sorted({Path(*found.parts[:-1]) if found.name == IMPORTED else found for found in named}):
        parts = folder.parts
        if len(parts) != 3 or not parts[1].isdecimal():
            raise BadRequest(f"{folder} is no version", field="file")
        place = version_path(target, int(parts[1]), parts[2])
        verify_version(source / parts[1] / parts[2])
        if not (force or _is_same(source / parts[1] / parts[2], place)):
            raise Conflict(f"another {parts[2]} of project {parts[1]} is in {target}: --force replaces it")
        moves.append((source / parts[1] / parts[2], place))
    return moves


def _is_same(source: Path, place: Path) -> bool:
    """Whether the same version is there, or none."""
    manifest = place / "manifest.json"
    return not place.exists() or (manifest.is_file() and manifest.read_bytes() == (source / manifest.name).read_bytes())


def _put(source: Path, place: Path) -> None:
    """The version as it is in the backup, also where a damaged one of the same name was."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        shutil.rmtree(place)
    os.rename(source, place)


def _load(stores: Stores, source: Path, schema: int) -> dict[str, int]:
    dump = Dump(stores.client)
    dump.clear()
    dump.set_schema(schema)  # of what follows; a restore that is cut off here is one that needs --force
    for file in sorted(source.glob("*.jsonl")):
        dump.write(_lines(file))
    dump.upgrade_schema()
    projects = stores.projects.projects()
    for project in projects:
        stores.projects.mark_dirty(project, "restored from a backup")
    return {"projects": len(projects), "examples": sum(map(stores.examples.count, projects))}


def _lines(path: Path) -> Iterator[Line]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
