"""Finished exports in the object store, so that web processes without the trainer's disk send them.

exports/<project>/<id>/<sha256>/archive.zip   the archive, read back before anything tells of it
exports/<project>/<id>/about.json             what it is: written last, once
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from backend.artifacts.artifacts import AWAY_SECONDS
from backend.artifacts.catalog import LISTED_SECONDS
from backend.artifacts.layout import EXPORTS, SHA256, Body, body_key
from backend.artifacts.object_store import NoSuchObject, ObjectExists, ObjectFacts, ObjectStore
from backend.artifacts.retention import YOUNG_SECONDS
from backend.artifacts.stored_versions import StoredVersions
from backend.errors import ArtifactsUnavailable, NotFound
from backend.export.archive.shelf import ARCHIVE_DAYS, ARCHIVES_KEPT, EXPORT_ID, Archive, no_more
from model.errors import DamagedArtifact
from model.failpoints import failpoint

log = logging.getLogger(__name__)

ABOUT = "about.json"

ARCHIVE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\.zip")


class StoredExports:
    """Those of all projects. Thread-safe. All methods but `archives` raise ArtifactsUnavailable."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self._files = StoredVersions(store)
        self._known: dict[int, dict[str, Archive]] = {}
        self._listed: dict[int, float] = {}
        self._awaited: dict[int, str] = {}
        self._guard = threading.Lock()

    def send(self, archive: Path, about: Archive) -> None:
        """Write the archive and read it back; nobody finds it before it is announced. May be run twice. Raises
        OSError."""
        prefix, body = _prefix(about.project, about.id), _body(about)
        self._files.put_bodies(prefix, archive.parent, [body])
        try:
            self._files.check_bodies(prefix, [body])
        except DamagedArtifact as error:  # it is deleted there, and sent anew
            raise ArtifactsUnavailable(error.message) from error
        failpoint("export.sent", about.project)

    def announce(self, about: Archive) -> None:
        """From now on it is found. One of an earlier attempt, which is as good, stays."""
        try:
            self.store.put_new(
                f"{_prefix(about.project, about.id)}/{ABOUT}", (json.dumps(asdict(about)) + "\n").encode()
            )
        except ObjectExists:
            log.info("an earlier attempt has put it into the object store id=%s", about.id)
        failpoint("export.announced", about.project)

    def archives(self, project: int, awaited: str = "") -> list[Archive]:
        """Newest first; as they were last while the store is away. `awaited`: an export that is known to be done: the
        first time that it is asked for the store is looked through anew."""
        with self._guard:
            known = self._known.get(project, {})
            fresh = time.monotonic() - self._listed.get(project, float("-inf")) < LISTED_SECONDS
            if awaited and awaited not in known and self._awaited.get(project) != awaited:
                self._awaited[project], fresh = awaited, False
        if not fresh and not self.store.watch.failed_within(AWAY_SECONDS):
            try:
                known = self._look(project, known)
            except ArtifactsUnavailable as error:
                log.warning("exports in the object store as they were last: %s", error.message)
        return sorted(known.values(), key=lambda one: -one.at)

    def _look(self, project: int, known: dict[str, Archive]) -> dict[str, Archive]:
        names = [name for name in self.store.names(_prefix(project)) if EXPORT_ID.fullmatch(name)]
        keys = {f"{_prefix(project, name)}/{ABOUT}": name for name in names if name not in known}
        read = {keys[key]: _read(text, project, keys[key]) for key, text in self.store.get_many(list(keys)).items()}
        found = {name: about for name, about in {**known, **read}.items() if about is not None and name in names}
        with self._guard:
            self._known[project], self._listed[project] = found, time.monotonic()
        return found

    def open(self, project: int, export: str) -> tuple[Archive, StoredFile]:
        """The archive and its bytes. Raises NotFound."""
        if not EXPORT_ID.fullmatch(export):
            raise NotFound("there is no such export")
        text = self.store.get_many([key := f"{_prefix(project, export)}/{ABOUT}"]).get(key)
        about = _read(text, project, export) if text is not None else None
        if about is None:
            raise no_more(export)
        key = body_key(_prefix(project, export), _body(about))
        facts = self.store.facts(key)
        if facts is None or facts.size != about.bytes:
            raise no_more(export)
        return about, StoredFile(self._parts(key, about))

    def _parts(self, key: str, about: Archive) -> Iterator[bytes]:
        """The last part is held back until all of it has its digest: who gets less than the length sees that it is
        none. Raises DamagedArtifact."""
        digest, held = hashlib.sha256(), b""
        try:
            for part in self.store.parts(key, about.bytes, at_once=1):
                digest.update(part)
                if held:
                    yield held
                held = part
        except NoSuchObject:
            held = b""
        if digest.hexdigest() != about.sha256:
            raise DamagedArtifact(f"{about.id} is damaged or gone in the object store: export it again", file=key)
        yield held

    def projects(self) -> list[int]:
        """Projects with exports there, finished or half-written."""
        return sorted(int(name) for name in self.store.names(EXPORTS) if name.isdecimal())

    def sweep(self, project: int, now: float, busy: str = "") -> list[str]:
        """Delete what is too old or too much, and what was half-written an hour ago and is not `busy`; their ids. `now`
        and all ages are by the store's clock; nothing younger than an hour goes, as somebody may be taking it."""
        groups: dict[str, dict[str, ObjectFacts]] = {}
        for key, facts in self.store.walk(_prefix(project)).items():
            groups.setdefault(key.removeprefix(f"{_prefix(project)}/").partition("/")[0], {})[key] = facts
        made = {name: max(facts.modified for facts in own.values()) for name, own in groups.items()}
        whole = [name for name, own in groups.items() if f"{_prefix(project, name)}/{ABOUT}" in own]
        newest = sorted(whole, key=lambda name: -made[name])[:ARCHIVES_KEPT]
        kept = {name for name in newest if now - made[name] < ARCHIVE_DAYS * 86400}
        gone = [name for name in groups if name not in (*kept, busy) and now - made[name] > YOUNG_SECONDS]
        for name in gone:
            self.store.delete(sorted(groups[name], key=lambda key: not key.endswith(f"/{ABOUT}")))
        return gone


class StoredFile:
    """An archive that comes from the store while it is read: two of its parts are in memory."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts, self._rest = parts, memoryview(b"")

    def read(self, size: int) -> bytes:
        """At most so many bytes; b"" at the end. Raises ArtifactsUnavailable, DamagedArtifact."""
        if not self._rest:
            self._rest = memoryview(next(self._parts, b""))
        found, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return found

    def close(self) -> None:
        """What was not read is not fetched."""
        self._parts, self._rest = iter(()), memoryview(b"")


def _prefix(project: int, export: str = "") -> str:
    return f"{EXPORTS}/{int(project)}/{export}".rstrip("/")


def _body(about: Archive) -> Body:
    return Body("archive.zip", about.sha256, about.bytes)


def _read(text: bytes, project: int, export: str) -> Archive | None:
    """None for what cannot be used: another export's, a size or a digest that is none, a name that leads elsewhere."""
    try:
        about = Archive(**json.loads(text))
        sound = (about.project, about.id) == (project, export) and about.bytes > 0
        if sound and SHA256.fullmatch(about.sha256) and ARCHIVE_NAME.fullmatch(about.name):
            return about
    except (ValueError, TypeError):
        pass
    log.warning("what the object store says of %s cannot be used", export)
    return None
