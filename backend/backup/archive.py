"""A tar file whose last member lists size and SHA-256 of all others: what is cut short or damaged is refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path, PurePath
from types import TracebackType
from typing import TypedDict

from backend.backup.dump import Line
from backend.errors import BadRequest
from model.versions.disk import bring_to_disk

LISTING_FILE = "backup.json"

FORMAT_NUMBER = 1

PACKED = (".gz", ".tgz")
OTHER_FORMATS = (".zip", ".7z", ".rar", ".bz2", ".tbz", ".tbz2", ".xz", ".txz", ".lzma", ".zst", ".lz4", ".jsonl")
"""Ends of names that promise what is no tar, or a packer that is not used here."""


def check_name(name: str) -> None:
    """Raises BadRequest for a file's name that promises another format."""
    end = PurePath(name).suffix.lower()
    if end in OTHER_FORMATS:
        raise BadRequest(f"file: a backup is a tar, no {end}: name it .tar, .tar.gz or .tgz", field="file")


class BackupFacts(TypedDict):
    """What a backup says of itself."""

    schema: int
    understudy: str
    made_at: str


class MemberFacts(TypedDict):
    """What a member must be."""

    size: int
    sha256: str


class Listing(BackupFacts):
    """The last member; `format` is that of all members."""

    format: int
    files: dict[str, MemberFacts]


class ArchiveWriter:
    """Writes aside and puts the file in place when all is in it. gzip for names that end in .gz or .tgz. Mode 0600: it
    holds every text. Use as a context manager; raises OSError when the disk refuses."""

    def __init__(self, path: Path, facts: BackupFacts) -> None:
        self.path, self._facts = path, facts
        self._scratch = path.with_name(f".{path.name}.{os.getpid()}")
        self._files: dict[str, MemberFacts] = {}

    def __enter__(self) -> ArchiveWriter:
        try:
            descriptor = os.open(self._scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:  # in the name that was given
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        self._file = os.fdopen(descriptor, "wb")
        packed = self.path.name.lower().endswith(PACKED)
        self._tar = tarfile.open(fileobj=self._file, mode="w:gz" if packed else "w", format=tarfile.PAX_FORMAT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                listing: Listing = {"format": FORMAT_NUMBER, **self._facts, "files": self._files}
                self._put(LISTING_FILE, json.dumps(listing, indent=1).encode())
                self._tar.close()
                self._file.flush()
                bring_to_disk(self._scratch)
                os.replace(self._scratch, self.path)
        finally:
            self._file.close()
            self._scratch.unlink(missing_ok=True)

    def add_lines(self, name: str, lines: Iterable[Line]) -> None:
        """A member of one JSON object a line. Spooled to disk, however long."""
        spool = self._scratch.with_suffix(".lines")
        try:
            with spool.open("wb") as file:
                for line in lines:
                    file.write(json.dumps(line, ensure_ascii=True, separators=(",", ":")).encode() + b"\n")
            self.add_file(name, spool)
        finally:
            spool.unlink(missing_ok=True)

    def add_file(self, name: str, path: Path) -> None:
        """A member with this file's content. Raises FileNotFoundError when it is gone."""
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            self._tar.addfile(_member(name, size), file)
        self._files[name] = {"size": size, "sha256": _sha256(path)}

    def forget(self, prefix: str) -> None:
        """What begins so is no part of the backup, though some of it may be in the file."""
        self._files = {name: facts for name, facts in self._files.items() if not name.startswith(prefix)}

    def _put(self, name: str, data: bytes) -> None:
        self._tar.addfile(_member(name, len(data)), io.BytesIO(data))


def open_archive(path: Path, scratch: Path) -> Listing:
    """Unpacks into `scratch`, checks everything, and returns the listing. Raises BadRequest with what is wrong."""
    try:
        with tarfile.open(path) as archive:
            # No absolute name, no `..`, no link out, no device, no owner: see the tarfile documentation.
            archive.extractall(scratch, filter="data")
        listing: Listing = json.loads((scratch / LISTING_FILE).read_text(encoding="utf-8"))
        files = dict(listing["files"])
    except tarfile.ReadError as error:
        raise BadRequest(f"{path} is no backup of understudy's, or it is cut off", field="file") from error
    except (OSError, EOFError, tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise BadRequest(f"{path} is no complete backup: {error}", field="file") from error
    if listing.get("format") != FORMAT_NUMBER:
        raise BadRequest(f"{path} has format {listing.get('format')}, this release reads {FORMAT_NUMBER}", field="file")
    for name, facts in files.items():
        member = scratch / name
        if not member.resolve().is_relative_to(scratch.resolve()) or not member.is_file():
            raise BadRequest(f"{path}: {name} is missing", field="file")
        if member.stat().st_size != facts["size"] or _sha256(member) != facts["sha256"]:
            raise BadRequest(f"{path}: {name} is damaged", field="file")
    return listing


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
