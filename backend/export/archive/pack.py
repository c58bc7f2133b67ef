"""A directory as a zip archive: regular files alone, relative names, in bounded memory."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from backend.errors import Conflict

CHUNK_BYTES = 1 << 20
"""Read and written at a time."""

COMPRESSED = frozenset({".json", ".md", ".py", ".txt", ".csv", ".yaml", ".yml"})
"""Ends of names that are worth it: weights are not."""

MADE = (1980, 1, 1, 0, 0, 0)
"""When every file was made: an archive tells nothing of the machine, and the same files make the same archive."""

Report = Callable[[int, int], None]
"""Bytes done, bytes in all."""


def pack(directory: Path, archive: Path, folder: str, report: Report = lambda done, whole: None) -> str:
    """Writes `archive` with every file under `directory` below one `folder`; its sha256 in hex. Raises Conflict for
    what is no regular file: a link could carry anything of this machine out of the house."""
    names = list(_files(directory))
    whole, done = sum(os.lstat(directory / name).st_size for name in names), 0
    with zipfile.ZipFile(archive, "x", allowZip64=True) as packed:
        for name in names:
            for size in _add(packed, directory / name, f"{folder}/{name}"):
                done += size
                report(done, whole)
    return digest_of(archive)


def _files(directory: Path) -> Iterator[str]:
    """Relative names, sorted. Raises Conflict."""
    for root, folders, files in os.walk(directory):
        folders.sort()
        for name in sorted((*folders, *files)):
            path = Path(root) / name
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode):
                yield path.relative_to(directory).as_posix()
            elif not stat.S_ISDIR(mode):
                raise Conflict(f"{path.name} in the export is no regular file: nothing is packed")


def _add(packed: zipfile.ZipFile, path: Path, name: str) -> Iterator[int]:
    """Sizes of what was written."""
    entry = zipfile.ZipInfo(name, MADE)
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED if path.suffix in COMPRESSED else zipfile.ZIP_STORED
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with open(descriptor, "rb") as source:
        entry.file_size = os.fstat(descriptor).st_size
        with packed.open(entry, "w") as target:
            while chunk := source.read(CHUNK_BYTES):
                target.write(chunk)
                yield len(chunk)


def digest_of(path: Path) -> str:
    """sha256 in hex."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()
