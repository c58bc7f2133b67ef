"""Why Redis is away, as far as this machine can tell: with AOF always a full disk ends redis-server, and all that is
seen of it is a refused connection."""

from __future__ import annotations

import shutil

from backend.errors import StoreUnavailable
from backend.settings import Settings

FULL = 1 << 20
"""Bytes free below which the disk counts as full."""


def explain_outage(settings: Settings, error: StoreUnavailable) -> StoreUnavailable:
    """The same error; when the embedded Redis's disk is full it says so, and what to do."""
    if settings.redis_url:
        return error  # another machine's disk
    try:
        free = shutil.disk_usage(settings.data_dir / "redis").free
    except OSError:
        return error
    if free >= FULL:
        return error
    message = (
        f"nothing can be stored: the disk of DATA_DIR is full ({free >> 10} KiB free). Predictions go on; free some "
        f"space, and Redis comes back by itself. ({error.message})"
    )
    return StoreUnavailable(message, **error.evidence)
