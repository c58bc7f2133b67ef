"""Waits for Redis and the object store at the end of long work: an outage does not cost what hours have made."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from backend.errors import ArtifactsUnavailable, StoreUnavailable

if TYPE_CHECKING:
    from backend.jobs.context import Context

log = logging.getLogger(__name__)

Result = TypeVar("Result")

LONGEST_WAIT, GIVE_UP = 10.0, 1800.0
"""Seconds between two attempts, at most, and in all: what then still fails is begun again by the scheduler."""

KEEP_ALIVE_SECONDS = 120.0
"""Seconds until the next sign of life: more than an attempt and a wait take."""


def patiently(work: Context, call: Callable[[], Result]) -> Result:
    """`call()`, again and again while Redis or the object store is away, waiting longer each time. `call` must bear
    being run twice.

    Raises StoreUnavailable or ArtifactsUnavailable after GIVE_UP seconds, or when this worker is to stop; what else
    `call` raises leaves."""
    from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

    def tell(state: RetryCallState) -> None:
        work.keep_alive(KEEP_ALIVE_SECONDS)
        error = state.outcome.exception() if state.outcome else None
        what = "the object store" if isinstance(error, ArtifactsUnavailable) else "Redis"
        log.warning("waiting for %s, attempt %s", what, state.attempt_number)

    retrying = Retrying(
        retry=retry_if_exception_type((StoreUnavailable, ArtifactsUnavailable)),
        wait=wait_exponential(multiplier=0.25, max=LONGEST_WAIT),
        stop=lambda state: work.stopping or stop_after_delay(GIVE_UP)(state),
        before_sleep=tell,
        reraise=True,
    )
    return retrying(call)
