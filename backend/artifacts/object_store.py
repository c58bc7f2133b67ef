"""An object store through fsspec: whole objects by their keys. Whatever goes wrong is one typed error.

fsspec, and what speaks to the store, are imported at the first call: a process without ARTIFACTS_URL has none of it.
Endpoint, credentials and encryption are those of the store's own variables and files (AWS_*, GOOGLE_*, AZURE_*).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Protocol, cast

from backend.artifacts.condition import Watch
from backend.artifacts.disk import PART, copy_object, delete_object, write_object
from backend.errors import ArtifactsUnavailable, MissingPackage
from backend.redaction import hide_secrets

PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}

CONNECT_SECONDS, READ_SECONDS = 5.0, 20.0
"""After which a store that does not answer counts as away; a chunk of an upload is 50 MB."""

TRIES = 2
"""Of one call, by the package that speaks to the store; whoever waits for it longer asks again."""

OPTIONS: Mapping[str, Mapping[str, object]] = {
    "s3": {
        "config_kwargs": {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            "retries": {"max_attempts": TRIES - 1},
        }
    },
    "gs": {"timeout": READ_SECONDS},
    "az": {"connection_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS},
}

RANGE_BYTES, RANGES_AT_ONCE = 8 << 20, 4
"""Of a large object, read in parts: memory stays under 32 MiB."""


class NoSuchObject(Exception):
    """There is none of this key."""


class ObjectExists(Exception):
    """There is one of this key already, and it stays as it is."""


@dataclass(frozen=True)
class ObjectFacts:
    """`size` in bytes; `modified`: Unix time by the store's clock, infinite where it does not say."""

    size: int
    modified: float


class FileSystem(Protocol):
    """What is used of an fsspec file system."""

    def pipe(self, path: dict[str, bytes]) -> None: ...
    def pipe_file(self, path: str, value: bytes, mode: str) -> None: ...
    def put_file(self, lpath: str, rpath: str) -> None: ...
    def cat(self, path: list[str], on_error: str) -> dict[str, object]: ...
    def cat_ranges(self, paths: list[str], starts: list[int], ends: list[int]) -> list[object]: ...
    def info(self, path: str) -> Mapping[str, object]: ...
    def ls(self, path: str, detail: bool) -> list[str]: ...
    def find(self, path: str, detail: bool) -> dict[str, Mapping[str, object]]: ...
    def rm_file(self, path: str) -> None: ...


class ObjectStore:
    """Keys are relative to the address. All methods raise ArtifactsUnavailable for a store that is away or refuses, and
    MissingPackage where the one that speaks to it is not installed. Safe from several threads."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.watch = Watch()
        self._scheme, _, place = url.partition("://")
        self._root = place.rstrip("/")

    @cached_property
    def _files(self) -> FileSystem:
        import fsspec

        options = {"use_listings_cache": False, **OPTIONS.get(self._scheme, {})} if self._scheme != "file" else {}
        try:
            found = fsspec.filesystem(self._scheme, skip_instance_cache=True, **options)
        except ImportError as error:
            package = PACKAGES.get(self._scheme, self._scheme)
            raise MissingPackage(
                f"ARTIFACTS_URL={self._scheme}://… needs {package}: pip install understudy[{self._scheme}]"
            ) from error
        if self._scheme == "s3":
            found.retries = TRIES
        return cast("FileSystem", found)

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}" if key else self._root

    def _key(self, path: str) -> str:
        return path.removeprefix("/" if not self._root.startswith("/") else "").removeprefix(f"{self._root}/")

    @contextmanager
    def _told(self, doing: str, *, quiet: bool = False) -> Iterator[None]:
        """`quiet`: a missing key is an answer; else what is written to is missing, and the store cannot be used."""
        try:
            yield
        except (ArtifactsUnavailable, MissingPackage, NoSuchObject, ObjectExists):
            raise
        except FileNotFoundError as error:
            if quiet:
                self.watch.answered()
                raise NoSuchObject(doing) from error
            raise self._away(doing, error) from error
        except Exception as error:  # each package raises a dozen unrelated kinds
            raise self._away(doing, error) from error
        else:
            self.watch.answered()

    def _away(self, doing: str, error: Exception) -> ArtifactsUnavailable:
        said = hide_secrets(f"{doing}: {type(error).__name__}: {error}")[:300]
        self.watch.failed(said)
        return ArtifactsUnavailable(f"the object store {self.url} does not answer as it should: {said}", url=self.url)

    def put_many(self, objects: Mapping[str, bytes]) -> None:
        """Write small objects, all at the same time."""
        with self._told("writing"):
            if self._scheme == "file":
                for key, data in objects.items():
                    write_object(Path(self._path(key)), data, new=False)
            else:
                self._files.pipe({self._path(key): data for key, data in objects.items()})

    def put_new(self, key: str, data: bytes) -> None:
        """Write one object where none is. Raises ObjectExists."""
        with self._told(f"writing {key}"):
            try:
                if self._scheme == "file":
                    write_object(Path(self._path(key)), data, new=True)
                else:
                    self._files.pipe_file(self._path(key), data, mode="create")
            except FileExistsError as error:
                self.watch.answered()
                raise ObjectExists(key) from error

    def put_file(self, key: str, source: Path) -> None:
        """Write a file of any size. OSError when it cannot be read."""
        with source.open("rb"):
            pass  # what is wrong with it is not the store's fault
        with self._told(f"writing {key}"):
            if self._scheme == "file":
                copy_object(source, Path(self._path(key)))
            else:
                self._files.put_file(str(source), self._path(key))

    def get(self, key: str) -> bytes:
        """A small object. Raises NoSuchObject."""
        found = self.get_many([key])
        if key not in found:
            raise NoSuchObject(key)
        return found[key]

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Those of these small objects that there are, all read at the same time."""
        if not keys:
            return {}
        with self._told("reading"):
            found: dict[str, bytes] = {}
            for path, value in self._files.cat([self._path(key) for key in keys], on_error="return").items():
                if isinstance(value, bytes):
                    found[self._key(path)] = value
                elif not isinstance(value, FileNotFoundError):
                    raise value if isinstance(value, Exception) else OSError(repr(value))
            return found

    def read(self, key: str, size: int, take: Callable[[bytes], object]) -> None:
        """Gives `take` the parts of an object of `size` bytes in order; what it raises leaves as it is. Raises
        NoSuchObject. Fewer bytes come where the object is shorter."""
        for part in self.parts(key, size):
            take(part)

    def parts(self, key: str, size: int, at_once: int = RANGES_AT_ONCE) -> Iterator[bytes]:
        """As `read`, for who takes them slowly: each is asked for when it is due, and `at_once` are in memory."""
        path, step = self._path(key), RANGE_BYTES * at_once
        for begin in range(0, size, step):
            starts = list(range(begin, min(size, begin + step), RANGE_BYTES))
            ends = [min(size, start + RANGE_BYTES) for start in starts]
            with self._told(f"reading {key}", quiet=True):
                parts = self._files.cat_ranges([path] * len(starts), starts, ends)
                for part in parts:
                    if isinstance(part, Exception):
                        raise part
            yield from cast("list[bytes]", parts)

    def sha256(self, key: str, size: int) -> str:
        """Of the bytes that the store gives back. Raises NoSuchObject."""
        digest = hashlib.sha256()
        self.read(key, size, digest.update)
        return digest.hexdigest()

    def facts(self, key: str) -> ObjectFacts | None:
        """None where there is no such object."""
        try:
            with self._told(f"reading {key}", quiet=True):
                return _facts(self._files.info(self._path(key)))
        except NoSuchObject:
            return None

    def names(self, prefix: str) -> list[str]:
        """What the keys under `prefix` go on with, up to the next slash."""
        try:
            with self._told("listing", quiet=True):
                paths = self._files.ls(self._path(prefix), detail=False)
        except NoSuchObject:
            return []
        found = {path.rstrip("/").rpartition("/")[2] for path in paths}
        return sorted(name for name in found if name and not name.startswith(PART))

    def walk(self, prefix: str) -> dict[str, ObjectFacts]:
        """All objects under `prefix` with their keys."""
        try:
            with self._told("listing", quiet=True):
                found = self._files.find(self._path(prefix), detail=True)
        except NoSuchObject:
            return {}
        return {self._key(path): _facts(entry) for path, entry in found.items()}

    def delete(self, keys: Sequence[str]) -> None:
        """One that is gone already is deleted."""
        for key in keys:
            try:
                with self._told(f"deleting {key}", quiet=True):
                    if self._scheme == "file":
                        delete_object(Path(self._path(key)), Path(self._root))
                    else:
                        self._files.rm_file(self._path(key))
            except NoSuchObject:
                continue


def _facts(entry: Mapping[str, object]) -> ObjectFacts:
    size = entry.get("size") or 0
    for name in ("LastModified", "last_modified", "updated", "mtime"):
        value = entry.get(name)
        if isinstance(value, str):
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        if isinstance(value, datetime):
            return ObjectFacts(int(cast("int", size)), value.timestamp())
        if isinstance(value, float | int):
            return ObjectFacts(int(cast("int", size)), float(value))
    return ObjectFacts(int(cast("int", size)), float("inf"))
