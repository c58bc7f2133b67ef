"""A finished export, from a running understudy to a file or a directory: whole, or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from backend.client.admin import AdminError
from backend.client.output_file import replacing, told
from backend.errors import BadRequest
from backend.screen import plain

if TYPE_CHECKING:
    from backend.admin_json import ArchiveAnswer
    from backend.client.admin import AdminClient

CHUNK_BYTES = 1 << 20
"""Unpacked at a time."""

MOST_FILES = 1000
"""An export has about ten."""

Report = Callable[[int, int], None]
"""Takes bytes done, bytes in all."""


def download(api: AdminClient, archive: ArchiveAnswer, output: Path, report: Report) -> None:
    """Writes `output`: the archive itself for a name that ends in .zip, else a new directory with what it holds. Raises
    AdminError for what arrives otherwise than it was sent, BadRequest for an output that cannot be written."""
    require_new(output)
    if output.suffix.lower() == ".zip":
        with replacing(output) as file:
            _receive(api, archive, file, report)
        return
    scratch = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    packed = scratch.with_suffix(".zip")
    try:
        with told(output), packed.open("x+b") as file:
            _receive(api, archive, file, report)
            unpack(file, scratch)
            if output.is_dir():
                output.rmdir()
            scratch.rename(output)
    finally:
        packed.unlink(missing_ok=True)
        shutil.rmtree(scratch, ignore_errors=True)


def require_new(output: Path) -> None:
    """Raises BadRequest for a file or directory that holds something."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise BadRequest(f"{plain(output)} is there already: name a new directory or a new .zip", field="output")


def _receive(api: AdminClient, archive: ArchiveAnswer, file: IO[bytes], report: Report) -> None:
    found, done = hashlib.sha256(), 0
    for piece in api.archive(archive["path"]):
        file.write(piece)
        found.update(piece)
        done += len(piece)
        report(done, archive["bytes"])
    if found.hexdigest() != archive["sha256"]:
        raise AdminError(f"{archive['name']} broke off after {done} of {archive['bytes']} bytes: ask again")


def unpack(file: IO[bytes], directory: Path) -> None:
    """What stands in the one folder of an archive into a new `directory`: regular files alone. Raises AdminError for
    names that lead elsewhere, and for links."""
    try:
        with zipfile.ZipFile(file) as packed:
            entries = packed.infolist()
            if len(entries) > MOST_FILES:
                raise AdminError(f"the archive holds {len(entries)} files: it is no export")
            directory.mkdir()
            for entry in entries:
                _take(packed, entry, directory / _inside(entry))
    except zipfile.BadZipFile as error:
        raise AdminError(f"the archive is damaged: {error}") from error


def _inside(entry: zipfile.ZipInfo) -> Path:
    """Its path below the folder of the archive. Raises AdminError."""
    path = PurePosixPath(entry.filename)
    odd = path.is_absolute() or ".." in path.parts or "\\" in entry.filename or ":" in entry.filename
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if odd or entry.is_dir() or kind not in (0, stat.S_IFREG) or len(path.parts) < 2:
        raise AdminError(f"{plain(entry.filename[:80])} in the archive is no file of an export: nothing is unpacked")
    return Path(*path.parts[1:])


def _take(packed: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    left = entry.file_size
    with packed.open(entry) as source, path.open("xb") as target:
        while chunk := source.read(CHUNK_BYTES):
            left -= len(chunk)
            if left < 0:
                raise AdminError("the archive holds more than it says: nothing is unpacked")
            target.write(chunk)
