"""What the admin API answers of a run that predicts files."""

from __future__ import annotations

from typing import NotRequired

from backend.admin_json import ShardsLeft
from backend.record_json import Progress


class FileRunAnswer(Progress):
    """A run that predicts files, and how far it is: `step` of `of` rows are written, `kept` of them by an earlier run;
    `rate` rows a second, `errors` rows without an answer for what they hold, `in_flight` shards, `workers` alive."""

    id: str
    status: str
    by: str
    source: str
    output: str
    asked_at: float
    ended_at: float | None
    kept: int
    errors: int
    rate: float
    shards: ShardsLeft
    failed: int
    in_flight: int
    workers: int
    error: str
    retry_in: int
    new: NotRequired[bool]
