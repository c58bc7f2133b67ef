"""A full disk and the embedded Redis: with AOF always it ends redis-server, and all that others see of it is a refused
connection."""

from __future__ import annotations

import logging
import shutil
import time

from backend.errors import StoreUnavailable
from backend.settings.settings import Settings

log = logging.getLogger(__name__)

LEAST_FREE_BYTES = 1 << 20
"""Bytes free below which the disk counts as full."""


def room_left(settings: Settings) -> int | None:
    """Bytes free where the embedded Redis writes; None when that cannot be told."""
    try:
        return shutil.disk_usage(settings.data_dir / "redis").free
    except OSError:
        return None


def wait_for_room(settings: Settings, pause: float = 1.0) -> None:
    """Returns when the embedded Redis has room to write. Without it, it would end at the first write and be started
    again, later each time, and not be back for minutes when there is room at last."""
    told = False
    while (free := room_left(settings)) is not None and free < LEAST_FREE_BYTES:
        if not told:
            log.critical("the disk of DATA_DIR is full: Redis waits for room, predictions go on")
        told = True
        time.sleep(pause)


def explain_disk_full(settings: Settings, error: StoreUnavailable) -> StoreUnavailable:
    """The same error; when the embedded Redis's disk is full it says so, and what to do."""
    free = None if settings.redis_url else room_left(settings)  # REDIS_URL: another machine's disk
    if free is None or free >= LEAST_FREE_BYTES:
        return error
    message = (
        f"nothing can be stored: the disk of DATA_DIR is full ({free >> 10} KiB free). Predictions go on; free some "
        f"space, and Redis comes back by itself. ({error.message})"
    )
    return StoreUnavailable(message, **error.evidence)
