"""Objects of a `file://` store: a reader finds each whole or not at all, and what was written is on disk."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model.versions.disk import bring_to_disk

PART = ".part-"
"""How the names of unfinished objects begin."""


def write_object(path: Path, data: bytes, *, new: bool) -> None:
    """`new`: raises FileExistsError where there is one already, with nothing changed."""
    with _aside(path) as scratch:
        with scratch.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _settle(scratch, path, new=new)


def copy_object(source: Path, path: Path) -> None:
    """A copy of a local file."""
    with _aside(path) as scratch:
        shutil.copyfile(source, scratch)
        bring_to_disk(scratch)
        _settle(scratch, path, new=False)


def delete_object(path: Path, root: Path) -> None:
    """And the folders above it that are empty then. Raises FileNotFoundError."""
    path.unlink()
    for folder in path.parents:
        if folder == root:
            break
        try:
            folder.rmdir()
        except OSError:
            break  # something else is in it


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{PART}{secrets.token_hex(8)}")
    try:
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


def _settle(scratch: Path, path: Path, *, new: bool) -> None:
    if new:
        os.link(scratch, path)
    else:
        os.replace(scratch, path)
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
