"""An encoder's files on the trainer's machine before its training process starts, which makes no calls itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from backend.base_model.former import find_version_files, live_digest
from backend.base_model.hub import find_encoder_files
from backend.jobs.context import Context
from backend.jobs.train.process import Progress
from backend.settings.settings import Settings
from backend.store.stores import Stores
from model.errors import EncoderError, VersionError
from model.pretrained.base_model import is_local

POLL_SECONDS = 0.5
"""Seconds between two looks at a download."""


def fetch_base_model(settings: Settings, look: Callable[[Progress], None]) -> str:
    """Why the files of a model on the hub cannot be had; "" when they lie in the hub's cache, or are not on the hub.

    `look`, called every POLL_SECONDS, may raise to give the download up: it then ends with this process."""
    if is_local(settings.base_model):
        return ""
    return _fetch(lambda: find_encoder_files(settings), look)


def fetch_former(work: Context, project: int, look: Callable[[Progress], None]) -> str:
    """The same of the encoder that the live version stands on, which another machine may have used alone. Raises
    ArtifactsUnavailable where only the object store knows which one that is."""

    def find() -> None:
        live = work.stores.versions.live(project)
        if work.artifacts is not None and live is not None:
            with suppress(VersionError):
                work.artifacts.ensure(project, live)
        base_model_for(work.settings, work.stores, project)

    return _fetch(find, look)


def _fetch(find: Callable[[], object], look: Callable[[Progress], None]) -> str:
    ended: list[Exception | None] = []

    def fetch() -> None:
        try:
            find()
            ended.append(None)
        except Exception as error:  # raised again below
            ended.append(error)

    thread = threading.Thread(target=fetch, name="base model", daemon=True)
    thread.start()
    while thread.is_alive():
        look({})
        thread.join(POLL_SECONDS)
    error = ended[0]
    if error is None:
        return ""
    if isinstance(error, EncoderError):
        return error.message
    raise error


def base_model_for(settings: Settings, stores: Stores, project: int) -> str:
    """What is fine-tuned: BASE_MODEL, or the former encoder that the live version still stands on. Raises
    EncoderError."""
    digest = live_digest(settings, project, stores.versions.live(project))
    if not digest:  # its files are not here, or damaged: a refit sees to that
        return settings.base_model
    found = find_version_files(settings, digest, stores.versions.encoders)
    with suppress(EncoderError):
        if found == find_encoder_files(settings):
            return settings.base_model
    return str(found)
