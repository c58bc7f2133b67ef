"""Versions in the object store: pushed once and read back before anything points to them, fetched with every digest
verified."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from backend.artifacts.layout import (
    MANIFEST,
    VERSION_NAME,
    VERSIONS,
    Body,
    Listing,
    body_key,
    manifest_key,
    order_of,
    prefix_of,
    read_listing,
)
from backend.artifacts.object_store import RANGE_BYTES, NoSuchObject, ObjectExists, ObjectStore
from backend.errors import ArtifactConflict, ArtifactsUnavailable
from model.errors import DamagedArtifact, MissingArtifact, VersionError
from model.failpoints import failpoint

log = logging.getLogger(__name__)

PUSH_SECONDS = 1800.0
"""A push that takes longer is begun again: what it wrote first may be swept as half-written after an hour."""

SMALL_BYTES = RANGE_BYTES
"""Files up to this size are sent, and read, all at the same time."""


class StoredVersions:
    """The versions of all projects in one store. All methods raise ArtifactsUnavailable. Safe from several threads."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    def push(self, directory: Path, project: int, version: str) -> bool:
        """Write a finished version directory, and read it back; whether it was not there before.

        The manifest comes last, so that a prefix without one is half-written. What lies there already with the same
        digest, of an attempt that was cut off, is not sent again. Raises ArtifactConflict when the store holds another
        version of that name, DamagedArtifact when it gives back other bytes, OSError when the directory cannot be
        read."""
        listing = read_listing((directory / MANIFEST).read_bytes(), project, version)
        prefix, key = prefix_of(project, version), manifest_key(project, version)
        began = time.monotonic()
        self.put_bodies(prefix, directory, listing.bodies)
        self.check_bodies(prefix, listing.bodies)
        failpoint("artifacts.before_manifest", project)
        if time.monotonic() - began > PUSH_SECONDS:
            raise ArtifactsUnavailable(f"{version} took more than {PUSH_SECONDS:.0f} s to write")
        try:
            self.store.put_new(key, listing.text)
            created = True
        except ObjectExists:
            created = False
        if self.manifest(project, version) != listing.text:
            raise ArtifactConflict(
                f"the object store holds another {version} of project {project}", version=version, project=project
            )
        failpoint("artifacts.after_manifest", project)
        return created

    def put_bodies(self, prefix: str, directory: Path, bodies: Sequence[Body]) -> None:
        """Send the files of a directory, those that are there already and young left out. Raises OSError."""
        small = [body for body in bodies if body.size <= SMALL_BYTES]
        self.store.put_many({body_key(prefix, body): (directory / body.name).read_bytes() for body in small})
        for body in bodies:
            if body.size > SMALL_BYTES and not self._is_fresh(body_key(prefix, body), body.size):
                self.store.put_file(body_key(prefix, body), directory / body.name)

    def _is_fresh(self, key: str, size: int) -> bool:
        """Whether an object of this size is there that no sweep deletes before the manifest is written."""
        facts = self.store.facts(key)
        return facts is not None and facts.size == size and time.time() - facts.modified < PUSH_SECONDS

    def check_bodies(self, prefix: str, bodies: Sequence[Body]) -> None:
        """Read all of them back. Raises DamagedArtifact: the damaged object is deleted, so that it is sent anew."""
        small = [body_key(prefix, body) for body in bodies if body.size <= SMALL_BYTES]
        found = self.store.get_many(small)
        for body in bodies:
            key = body_key(prefix, body)
            try:
                if key in small:
                    seen = hashlib.sha256(found[key]).hexdigest() if key in found else ""
                else:
                    seen = self.store.sha256(key, body.size)
            except NoSuchObject:
                seen = ""
            if seen != body.sha256:
                self.store.delete([key])
                raise DamagedArtifact(f"the object store does not give back {body.name} as it was written", file=key)

    def manifest(self, project: int, version: str) -> bytes | None:
        """The text of its manifest; None where there is no such version, or half of one."""
        return self.store.get_many([key := manifest_key(project, version)]).get(key)

    def manifests(self, project: int, versions: Sequence[str]) -> dict[str, bytes]:
        """Those that there are, read at the same time."""
        keys = {manifest_key(project, version): version for version in versions}
        return {keys[key]: text for key, text in self.store.get_many(list(keys)).items()}

    def exists(self, project: int, version: str) -> bool:
        """Whether all of it is there."""
        return self.store.facts(manifest_key(project, version)) is not None

    def projects(self) -> list[int]:
        """Projects with anything in the store."""
        return sorted(int(name) for name in self.store.names(VERSIONS) if name.isdecimal())

    def names(self, project: int) -> list[str]:
        """Names that are taken, by half-written versions, too."""
        names = self.store.names(f"{VERSIONS}/{int(project)}")
        return sorted((name for name in names if VERSION_NAME.fullmatch(name)), key=order_of)

    def fetch(self, project: int, version: str, target: Path) -> None:
        """Bring a version into the directory `target`, which appears when all of it is there and verified; one that is
        there already and is the same stays. Its encoder's version is not fetched along.

        Raises MissingArtifact, DamagedArtifact, OSError when the disk refuses."""
        text = self.manifest(project, version)
        if text is None:
            raise MissingArtifact(f"the object store has no {version} of project {project}", version=version)
        listing = read_listing(text, project, version)
        if _text_of(target) == text:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.parent / f".tmp-{version}-{os.getpid()}-{threading.get_ident()}"
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            scratch.mkdir()
            self.get_bodies(prefix_of(project, version), scratch, listing.bodies, version)
            (scratch / MANIFEST).write_bytes(text)
            _replace(scratch, target, text)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def get_bodies(self, prefix: str, directory: Path, bodies: Sequence[Body], what: str) -> None:
        """Write the files into `directory`, every digest verified. Raises DamagedArtifact, OSError."""
        small = [body for body in bodies if body.size <= SMALL_BYTES]
        found = self.store.get_many([body_key(prefix, body) for body in small])
        for body in bodies:
            path = directory / body.name
            path.parent.mkdir(exist_ok=True)
            key, digest = body_key(prefix, body), hashlib.sha256()
            with path.open("wb") as file:

                def take(part: bytes, digest: hashlib._Hash = digest, write=file.write) -> None:  # type: ignore[no-untyped-def]
                    digest.update(part)
                    write(part)

                try:
                    if body.size <= SMALL_BYTES:
                        take(found.get(key, b""))
                    else:
                        self.store.read(key, body.size, take)
                except NoSuchObject:
                    pass  # its digest is none
            if digest.hexdigest() != body.sha256:
                failing = "is damaged" if self.store.facts(key) else "is missing"
                raise DamagedArtifact(f"{what}: {body.name} {failing} in the object store", version=what, file=key)

    def delete(self, project: int, version: str) -> None:
        """First its manifest, so that nobody finds half of it."""
        self.store.delete([manifest_key(project, version)])
        self.delete_bodies(project, version)

    def delete_bodies(self, project: int, version: str) -> None:
        """What is left of a version without a manifest."""
        self.store.delete(list(self.store.walk(prefix_of(project, version))))

    def listing(self, project: int, version: str) -> Listing | None:
        """None where there is no such version. Raises DamagedArtifact."""
        text = self.manifest(project, version)
        return read_listing(text, project, version) if text is not None else None


def _text_of(directory: Path) -> bytes | None:
    try:
        return (directory / MANIFEST).read_bytes()
    except OSError:
        return None


def _replace(scratch: Path, target: Path, text: bytes) -> None:
    """One rename; what was there under the name, and was another version, goes first. Another process may have been
    quicker with the same one."""
    for _ in range(2):
        try:
            os.rename(scratch, target)
            return
        except OSError:
            if not target.is_dir():
                raise
            if _text_of(target) == text:
                return
            trash = target.with_name(f".trash-{target.name}-{os.getpid()}-{threading.get_ident()}")
            os.rename(target, trash)
            shutil.rmtree(trash, ignore_errors=True)
    raise VersionError(f"{target.name} is being replaced by another process", version=target.name)
