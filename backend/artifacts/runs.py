"""How far a training is, in the object store, so that another machine goes on where one has died.

Files lie under their digests and an index that is written last says which belong together; it names the attempt, and
one of an earlier attempt never replaces that of a later one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from backend.artifacts.layout import RUNS, Body, body_key, read_bodies
from backend.artifacts.object_store import ObjectStore
from backend.artifacts.stored_versions import StoredVersions
from backend.errors import ArtifactsUnavailable
from model.errors import DamagedArtifact
from model.failpoints import failpoint

log = logging.getLogger(__name__)

Result = TypeVar("Result")

INDEX, REQUEST = "index.json", "run.json"

LEFT_OUT = frozenset({"encoder.safetensors"})
"""Written on the way to a version, and deleted."""

KINDS = (".json", ".safetensors")

PAUSE_SECONDS, PAUSE_SHARE = 20.0, 5.0
"""Fewest seconds between two saves, and as a multiple of what the last one took: at most a sixth of the time."""

LAST_SECONDS = 15.0
"""For the last save of a worker that is to end."""

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Saved:
    """`attempt`: the number of the attempt that saved it."""

    attempt: int
    bodies: tuple[Body, ...]


class StoredRun:
    """One training's files in the store. All methods raise ArtifactsUnavailable."""

    def __init__(self, store: ObjectStore, job: str) -> None:
        self.store, self.prefix = store, f"{RUNS}/{job}"
        self._versions = StoredVersions(store)

    def saved(self) -> Saved | None:
        """What is there; None where there is nothing that can be used."""
        text = self.store.get_many([key := f"{self.prefix}/{INDEX}"]).get(key)
        try:
            data = json.loads(text) if text is not None else None
            return None if data is None else Saved(int(data["attempt"]), read_bodies(data["files"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("the checkpoint in the object store cannot be used: %s", error)
            return None

    def save(self, directory: Path, attempt: int) -> bool:
        """Save what is in the run's directory; False when a later attempt has begun to. Raises OSError."""
        before = self.saved()
        if before is not None and before.attempt > attempt:
            return False
        held = directory / f".saving-{secrets.token_hex(4)}"
        held.mkdir()
        try:
            bodies = _hold(directory, held)
            known = {body_key(self.prefix, body) for body in before.bodies} if before else set()
            self._versions.put_bodies(
                self.prefix, held, [body for body in bodies if body_key(self.prefix, body) not in known]
            )
            files = {body.name: {"sha256": body.sha256, "size": body.size} for body in bodies}
            index = json.dumps({"attempt": attempt, "files": files}).encode()
            self.store.put_many({f"{self.prefix}/{INDEX}": index})
            failpoint("checkpoint.saved", attempt)
            self.store.delete(sorted(known - {body_key(self.prefix, body) for body in bodies}))
        finally:
            for path in held.iterdir():
                path.unlink()
            held.rmdir()
        return True

    def restore(self, directory: Path, attempt: int) -> bool:
        """Bring here what a later attempt than `attempt`, the last of this machine, has saved; whether there was any.
        A file that is damaged is left out, and what it stood for is done again. Raises OSError."""
        saved = self.saved()
        if saved is None or saved.attempt <= attempt:
            return False
        for path in directory.iterdir():
            if path.suffix in KINDS:
                path.unlink()
        for body in sorted(saved.bodies, key=lambda body: body.name != REQUEST):
            scratch = directory / f".restoring-{body.name}"
            scratch.mkdir(exist_ok=True)
            try:
                self._versions.get_bodies(self.prefix, scratch, [body], self.prefix)
                os.replace(scratch / body.name, directory / body.name)
            except DamagedArtifact as error:
                log.warning("a part of the checkpoint is left out: %s", error.message)
                if body.name == REQUEST:
                    return False
            finally:
                (scratch / body.name).unlink(missing_ok=True)
                scratch.rmdir()
        return True

    def delete(self) -> None:
        """The training is over."""
        self.store.delete([f"{self.prefix}/{INDEX}", *self.store.walk(self.prefix)])


def _hold(directory: Path, held: Path) -> list[Body]:
    """Links to the files as they are now: a training replaces them as a whole, amid a save too."""
    bodies = []
    for path in sorted(directory.iterdir()):
        if path.suffix in KINDS and path.name not in LEFT_OUT and not path.name.startswith((".", "result")):
            with suppress(FileNotFoundError):
                os.link(path, held / path.name)
                with (held / path.name).open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                bodies.append(Body(path.name, digest, (held / path.name).stat().st_size))
    return bodies


class Saver:
    """Saves a run's directory now and then on a thread of its own: a store that is slow or away keeps nobody from
    training."""

    def __init__(self, run: StoredRun, directory: Path, attempt: int) -> None:
        self._run, self._directory, self._attempt = run, directory, attempt
        self._saving: Future[None] | None = None
        self._seen: frozenset[tuple[str, int]] = frozenset()
        self._due_at = float("-inf")
        self._closed = False

    def look(self) -> None:
        """Begin to save when something is new and it is time. Never waits."""
        if self._saving is not None and not self._saving.done():
            return
        if not self._closed and time.monotonic() >= self._due_at and (now := self._files()) != self._seen:
            self._seen = now
            self._saving = _begin(self._save)

    def last(self) -> None:
        """Save what is new since, for LAST_SECONDS at most: this worker is to end."""
        end = time.monotonic() + LAST_SECONDS
        for _ in range(2):  # the one under way, and another one
            if self._saving is not None:
                with suppress(NotYet):
                    self._saving.result(max(0.0, end - time.monotonic()))
            self._due_at = float("-inf")
            self.look()
        if self._saving is not None:
            with suppress(NotYet):
                self._saving.result(max(0.0, end - time.monotonic()))
        self.close()

    def close(self) -> None:
        """Nothing more is saved."""
        self._closed = True

    def _save(self) -> None:
        began = time.monotonic()
        try:
            if not self._run.save(self._directory, self._attempt):
                log.info("a later attempt saves its checkpoints")
        except (ArtifactsUnavailable, DamagedArtifact, OSError) as error:
            self._seen = frozenset()  # again when it is time
            log.warning("the checkpoint was not saved: %s", error)
        self._due_at = time.monotonic() + max(PAUSE_SECONDS, PAUSE_SHARE * (time.monotonic() - began))

    def _files(self) -> frozenset[tuple[str, int]]:
        found = set()
        for path in self._directory.iterdir():
            if path.suffix in KINDS and path.name not in LEFT_OUT and not path.name.startswith((".", "result")):
                with suppress(OSError):
                    found.add((path.name, path.stat().st_mtime_ns))
        return frozenset(found)


def _begin(call: Callable[[], Result]) -> Future[Result]:
    """`call` on a thread that ends with the process: Python waits at its end for those of a pool, and a store that
    hangs would keep a worker that is to end beyond its time."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="object store", daemon=True).start()
    return future


def beside(look: Callable[[], object], call: Callable[[], Result]) -> Result:
    """The result of `call`, which runs on another thread while `look` is called every POLL_SECONDS: what that raises
    leaves, and the call is given up with the process."""
    future = _begin(call)
    while True:
        look()
        try:
            return future.result(POLL_SECONDS)
        except NotYet:
            if future.done():
                raise
