"""Where files lie: paths of this machine and URLs of object stores, through fsspec.

Credentials come from the variables that each store's own tools read (AWS_*, GOOGLE_APPLICATION_CREDENTIALS, AZURE_*):
no URL carries one, since URLs stand in Redis, in logs and on the page.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Protocol, cast

from backend.errors import BadRequest, Forbidden, MissingPackage

PACKAGES = {"file": "", "s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
"""Scheme of fsspec -> the package that brings it."""

OTHER_NAMES = {"s3a": "s3", "gcs": "gs", "abfss": "abfs", "local": "file"}

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)

QUERY = re.compile(r"[?&][^/]*=|#")
"""Of signed URLs; a lone `?` is a wildcard."""

BLOCK_BYTES = 8 << 20
"""Of an object that are read at a time."""


class FileSystem(Protocol):
    """What is used of fsspec."""

    def info(self, path: str) -> Mapping[str, object]: ...

    def isdir(self, path: str) -> bool: ...

    def exists(self, path: str) -> bool: ...

    def glob(self, path: str) -> list[str]: ...

    def ls(self, path: str, detail: bool) -> list[str]: ...

    def open(self, path: str, mode: str, **options: int) -> IO[bytes]: ...

    def put_file(self, local: str, path: str) -> None: ...

    def cat_file(self, path: str) -> bytes: ...


@dataclass(frozen=True)
class Location:
    """`path`: absolute, or bucket and key."""

    scheme: str
    path: str

    @property
    def is_local(self) -> bool:
        return self.scheme == "file"

    @property
    def url(self) -> str:
        """As people write it."""
        return self.path if self.is_local else f"{self.scheme}://{self.path}"

    def beside(self, path: str) -> Location:
        """Another place of the same store."""
        return Location(self.scheme, path)

    def inside(self, name: str) -> Location:
        """A file of this folder."""
        return Location(self.scheme, f"{self.path.rstrip('/')}/{name}")


def read_location(text: str, field: str) -> Location:
    """Raises BadRequest for what is no absolute path or URL of a known store, or carries a secret."""
    found = URL.fullmatch(text)
    if found is None:
        if not os.path.isabs(text):
            raise BadRequest(f"{field}: a path from the root on, or a URL such as s3://bucket/folder/", field=field)
        return Location("file", text)
    scheme, rest = found[1].lower(), found[2]
    scheme = OTHER_NAMES.get(scheme, scheme)
    if scheme not in PACKAGES or "::" in rest:
        raise BadRequest(
            f"{field}: {scheme}:// is not read; {', '.join(f'{one}://' for one in PACKAGES)} are", field=field
        )
    host = rest.partition("/")[0]
    if ":" in host.rpartition("@")[0] or (scheme != "file" and QUERY.search(rest)):
        raise BadRequest(f"{field}: no URL with a password or a signature; set the store's own variables", field=field)
    if ".." in rest.split("/") or not rest.strip("/"):
        raise BadRequest(f"{field}: {scheme}:// and a bucket, without `..`", field=field)
    return Location(scheme, f"/{rest.lstrip('/')}" if scheme == "file" else rest)


def require_inside(location: Location, roots: str, field: str) -> None:
    """Raises Forbidden unless the location lies in one of `roots`, paths and URLs with commas between them. A worker is
    told by Redis what to read and where to write: this says what it may."""
    own = _spelt_out(location)
    for root in filter(None, (one.strip() for one in roots.split(","))):
        place = _spelt_out(read_location(root, "FILE_ROOTS"))
        above = place.path.rstrip("/")
        if place.scheme == own.scheme and (own.path.rstrip("/") == above or own.path.startswith(f"{above}/")):
            return
    raise Forbidden(
        f"{location.url} lies outside of FILE_ROOTS of this worker ({roots or 'which is empty'})", field=field
    )


def _spelt_out(location: Location) -> Location:
    """Without links and `..`, as far as this machine can tell; a wildcard is a name like any other."""
    return Location("file", os.path.realpath(location.path)) if location.is_local else location


def open_store(location: Location) -> FileSystem:
    """Raises MissingPackage."""
    import fsspec

    try:
        # Listings that are kept would hide what another worker has written.
        return cast("FileSystem", fsspec.filesystem(location.scheme, use_listings_cache=False))
    except ImportError:
        package = PACKAGES[location.scheme]
        raise MissingPackage(f"{location.scheme}:// needs a package: `pip install {package}`") from None


def open_to_read(location: Location) -> IO[bytes]:
    """Raises OSError."""
    if location.is_local:
        return open(location.path, "rb")
    return open_store(location).open(location.path, "rb", block_size=BLOCK_BYTES)


def find_files(location: Location, suffixes: Sequence[str]) -> list[Location]:
    """A file, those that a wildcard stands for, or those of a folder, by name. Of a folder and a wildcard only what
    ends in one of `suffixes` and begins neither with `_` nor with `.`."""
    store = open_store(location)
    if any(char in location.path for char in "*?["):
        paths = store.glob(location.path)
    elif store.isdir(location.path):
        paths = store.ls(location.path, False)
    else:
        return [location]
    named = [(path, path.rstrip("/").rpartition("/")[2]) for path in paths]
    wanted = [path for path, name in named if name.lower().endswith(tuple(suffixes)) and name[0] not in "_."]
    return [location.beside(path) for path in sorted(wanted)]


def size_of(location: Location) -> int:
    """In bytes. Raises OSError."""
    size = open_store(location).info(location.path)["size"]
    return int(size) if isinstance(size, int) else 0
