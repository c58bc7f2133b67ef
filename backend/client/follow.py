"""A training's progress on the command line: a live bar on a terminal, one line per change otherwise."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Protocol, TypeVar

from backend.admin_json import ExportAnswer, RunAnswer
from backend.client.admin import AdminAway
from backend.file_run_json import FileRunAnswer
from backend.outcomes import FINAL_STATES
from backend.record_json import JobRecord
from backend.screen import plain, rich_console, say
from model.spec import Json

POLL_SECONDS = 0.5
"""Seconds between two looks at a job."""

AWAY_SECONDS = 120.0
"""For so long a job may be out of sight: it goes on while a web process starts anew, or Redis is busy."""


Record = TypeVar("Record", JobRecord, RunAnswer, ExportAnswer, FileRunAnswer, covariant=True)
"""A training, a run that predicts a project or files, or an export."""


class Jobs(Protocol[Record]):
    """Where a job's record is found: the admin API, or something like it."""

    def job(self, job: str) -> Record:
        """status, stage, step, of, …"""


def follow(client: Jobs[Record], job: str) -> Record:
    """Shows the job until it is over, and returns its last record. Ctrl-C stops the showing, not the job."""
    if sys.stdout.isatty():
        return _follow_live(client, job)
    return _follow_plainly(client, job)


def watch(client: Jobs[Record], job: str) -> Iterator[Record]:
    """What is known of the job at each look; the last one says that it is over. Raises AdminError, where nobody answers
    after `AWAY_SECONDS`."""
    since: float | None = None
    while True:
        try:
            record = client.job(job)
        except AdminAway as error:
            if since is None:
                since = time.monotonic()
                say(f"{job} goes on out of sight, looked for once more: {error}", err=True)
            elif time.monotonic() - since > AWAY_SECONDS:
                raise
        else:
            since = None
            yield record
            if record.get("status") in FINAL_STATES:
                return
        time.sleep(POLL_SECONDS)


def wait(client: Jobs[Record], job: str) -> Record:
    """The job's last record, without showing anything before."""
    return deque(watch(client, job), maxlen=1)[0]


def describe(record: JobRecord | RunAnswer | ExportAnswer | FileRunAnswer) -> str:
    """One line: state, stage, steps, epoch, metric, seconds left; then the outcome."""
    parts = [str(record.get("status", "?"))]
    if record.get("stage") and record.get("status") not in FINAL_STATES:
        parts.append(str(record["stage"]))
    if record.get("of") and record.get("status") not in FINAL_STATES:
        parts.append(f"step {record.get('step') or 0} of {record['of']}")
    if (epoch := record.get("epoch")) and record.get("status") not in FINAL_STATES:
        parts.append(f"epoch {float(epoch):.1f}")
    parts += _numbers(record.get("metric"))
    if (left := record.get("seconds_left")) is not None and record.get("status") not in FINAL_STATES:
        parts.append(f"{float(left):.0f} s left")
    if record.get("status") in FINAL_STATES:
        parts += [str(said) for said in (record.get("version"), record.get("message")) if said]
    return ", ".join(parts)


def _numbers(metric: Json) -> list[str]:
    if not isinstance(metric, Mapping):
        return [] if metric is None else [str(metric)]
    return [f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in metric.items()]


def _follow_plainly(client: Jobs[Record], job: str) -> Record:
    shown = ""
    for record in watch(client, job):
        line = describe(record)
        if line != shown:
            say(f"{job}: {line}")
            shown = line
    return record


def _follow_live(client: Jobs[Record], job: str) -> Record:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=rich_console(sys.stdout)) as bar:
        shown = bar.add_task(job, total=None)
        for record in watch(client, job):
            step, whole = record.get("step"), record.get("of")
            bar.update(shown, description=plain(f"{job}: {describe(record)}"), completed=step or 0, total=whole or None)
    return record
