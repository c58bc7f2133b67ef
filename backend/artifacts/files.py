"""Single files, such as backups, to and from an object store of any address."""

from __future__ import annotations

import hashlib
from pathlib import Path

from backend.addresses.object_store import check_store_url
from backend.addresses.url import NoAddress
from backend.artifacts.object_store import ObjectStore
from backend.errors import ArtifactsUnavailable, BadRequest, NotFound


def send_file(path: Path, url: str) -> None:
    """Write a file there, and read it back. Raises BadRequest for an address that is none, ArtifactsUnavailable for a
    store that is away, refuses, or gives back other bytes; OSError."""
    store, key = _split(url)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    store.put_file(key, path)
    if store.sha256(key, path.stat().st_size) != sha256:
        store.delete([key])
        raise ArtifactsUnavailable(f"{url} does not give back what was written to it")


def bring_file(url: str, path: Path) -> None:
    """Write what is there into a file. Raises BadRequest, NotFound, ArtifactsUnavailable, OSError."""
    store, key = _split(url)
    facts = store.facts(key)
    if facts is None:
        raise NotFound(f"there is no {url}")
    with path.open("wb") as file:
        store.read(key, facts.size, file.write)


def _split(url: str) -> tuple[ObjectStore, str]:
    folder, _, name = url.rpartition("/")
    try:
        if not name:
            raise NoAddress("it ends with a slash: the name of a file is needed")
        return ObjectStore(check_store_url(folder)), name
    except NoAddress as error:
        raise BadRequest(f"this is no place in an object store: {error}", field="file") from error
