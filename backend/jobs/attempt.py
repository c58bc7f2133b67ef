"""One attempt at a kind of work on one project. What one project's data or Label Studio does stops no other's."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from backend.errors import BackendError, StoreUnavailable
from backend.outcomes import JobOutcome, waits_after_failure
from backend.redaction import hide_secrets
from backend.store.work.failures import FailureStore

log = logging.getLogger(__name__)


def attempt(failures: FailureStore, project: int, kind: str, do: Callable[[], str]) -> str:
    """The outcome: that of `do`, FAILED, or that it waits after a failure, and the scheduler asks again.

    Raises StoreUnavailable. `kind` is the name of a JobKind."""
    if (wait := failures.begin(project, kind)) > 0:
        return waits_after_failure(wait)
    began = time.monotonic()
    try:
        outcome = do()
    except StoreUnavailable:
        raise
    except Exception as error:
        wait = failures.fail(project, kind, describe(error))
        expected = isinstance(error, BackendError)
        log.log(
            logging.WARNING if expected else logging.ERROR,
            "%s failed project=%s, again in %.0f s: %s",
            kind,
            project,
            wait,
            describe(error),
            exc_info=None if expected else error,
        )
        return JobOutcome.FAILED
    failures.clear(project, kind)
    log.info("%s project=%s outcome=%s seconds=%.3f", kind, project, outcome, time.monotonic() - began)
    return outcome


def describe(error: Exception) -> str:
    """For status and log: a message of ours as it is, another one with its class, 300 characters at most."""
    said = error.message if isinstance(error, BackendError) else hide_secrets(f"{type(error).__name__}: {error}")
    return said[:300]
