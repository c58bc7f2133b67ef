"""The log context and the counters of every job: its ids on each log line, its outcome, its duration."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from backend.errors import StoreUnavailable
from backend.outcomes import JobOutcome
from backend.redis_access.job_kinds import KIND_OF_FUNCTION, KIND_OF_NAME
from backend.store.work.job_counters import JobCounterStore
from backend.telemetry.log_context import about, sane_id

log = logging.getLogger(__name__)


@dataclass
class Account:
    """One job. `returned`: what its function did, None for an exception."""

    kind: str
    returned: object = None


@contextmanager
def account(
    tallies: JobCounterStore, function: str, args: Sequence[object], job: str, request: object
) -> Iterator[Account]:
    """Within, log lines carry the job's ids; afterwards it is counted. `request`: the id of who asked for it."""
    known = KIND_OF_FUNCTION.get(function)
    opened, began = Account(known.name if known else "unknown"), time.monotonic()
    with about(**ids_of(opened.kind, args, job), request=sane_id(request)):
        try:
            yield opened
        finally:
            outcome = outcome_of(opened.kind, opened.returned)
            with suppress(StoreUnavailable):
                tallies.count_job(opened.kind, outcome, time.monotonic() - began)


def ids_of(kind: str, args: Sequence[object], job: str) -> dict[str, int | str]:
    """`job` and `project`. A training has an id of its own, `train-<project>-…`, which people see."""
    first = args[0] if args else ""
    if kind == "train":
        match = re.match(r"train-(\d+)-", str(first))
        return {"job": sane_id(first) or sane_id(job), "project": int(match[1]) if match else 0}
    return {"job": sane_id(job), "project": first if isinstance(first, int) else 0}


def outcome_of(kind: str, returned: object) -> str:
    """One of a few words, so that series stay few."""
    if not isinstance(returned, str):
        return JobOutcome.FAILED
    outcomes = KIND_OF_NAME[kind].outcomes if kind in KIND_OF_NAME else ()
    found = next((word for word in outcomes if returned.startswith(word)), None)
    return (found or JobOutcome.FAILED).replace(" ", "_")
