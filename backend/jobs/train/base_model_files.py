"""BASE_MODEL's files on the trainer's machine before its training process starts, which makes no calls itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from backend.base_model.hub import find_encoder_files
from backend.jobs.train.process import Progress
from backend.settings.settings import Settings
from model.errors import EncoderError

POLL_SECONDS = 0.5
"""Seconds between two looks at a download."""


def fetch_base_model(settings: Settings, look: Callable[[Progress], None]) -> str:
    """Why the files of a model on the hub cannot be had; "" when they lie in the hub's cache, or are not on the hub.

    `look`, called every POLL_SECONDS, may raise to give the download up: it then ends with this process."""
    if not settings.base_model or Path(settings.base_model).is_dir():
        return ""
    ended: list[Exception | None] = []

    def fetch() -> None:
        try:
            find_encoder_files(settings)
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
