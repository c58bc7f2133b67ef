"""A download of BASE_MODEL is told of in the log while it goes on: hundreds of megabytes may take minutes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from backend.settings.settings import Settings
from model.pretrained.presets import hub_name, preset_named

log = logging.getLogger(__name__)

TOLD_SECONDS = 5.0
"""From one line to the next, and before the first: files that are there already say nothing."""

COMING_SECONDS = 60.0
"""After which an unfinished file that has not grown is no download that goes on."""


@contextmanager
def telling_of_downloads(name: str, seconds: float = TOLD_SECONDS) -> Iterator[None]:
    """Until it is left, every so many seconds how much of a hub model has come, as long as more comes."""
    folder = _blobs(name)
    ended = threading.Event()
    thread = threading.Thread(target=_tell, args=(name, folder, seconds, ended), name="download", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _tell(name: str, folder: Path, seconds: float, ended: threading.Event) -> None:
    seen = bytes_in(folder)
    while not ended.wait(seconds):
        here = bytes_in(folder)
        if here > seen:
            log.info("downloading %s: %d MiB have come", name, here >> 20)
        seen = here


def describe_download(settings: Settings) -> str:
    """How far the download of BASE_MODEL is that a process of this machine makes now; "" without one."""
    from model.pretrained.base_model import is_local

    if is_local(settings.base_model):
        return ""
    name, preset = hub_name(settings.base_model), preset_named(settings.base_model)
    folder = _blobs(name)
    if not _is_coming(folder):
        return ""
    whole = f" of about {preset.megabytes}" if preset is not None else ""
    return f"downloading {name}: {bytes_in(folder) >> 20}{whole} MiB have come"


@contextmanager
def showing_downloads(show: Callable[[str], None]) -> Iterator[None]:
    """Until it is left, what this process's log says of downloads is shown, too."""

    class Shown(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            show(record.getMessage())

    handler, level = Shown(logging.INFO), log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def _blobs(name: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "blobs"


def _is_coming(folder: Path) -> bool:
    """Whether an unfinished file in it has grown lately: one of an interrupted download lies still."""
    since = time.time() - COMING_SECONDS
    with suppress(OSError):
        for path in folder.glob("*.incomplete"):
            with suppress(OSError):
                if path.stat().st_mtime > since:
                    return True
    return False


def bytes_in(folder: Path) -> int:
    """Of the files in it, unfinished ones too."""
    total = 0
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(OSError):  # it was finished, and renamed
                total += path.stat().st_size
    return total
