"""A training as the page shows it: how far it is, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass

from backend.outcomes import FINAL_STATES, JobOutcome
from backend.record_json import JobRecord
from backend.redaction import hide_in

WORDS = {
    JobOutcome.DONE: "published",
    JobOutcome.REJECTED: "refused by the gate",
    JobOutcome.FAILED: "failed",
    JobOutcome.CANCELLED: "cancelled",
}


@dataclass(frozen=True)
class JobView:
    """`share`: of its steps that are done, None before it knows them. Times in epoch seconds."""

    id: str
    status: str
    words: str
    over: bool
    stage: str
    step: int
    of: int
    share: float | None
    loss: float | None
    seconds_left: float | None
    asked_at: float | None
    ended_at: float | None
    by: str
    version: str
    message: str


def view_job(record: JobRecord) -> JobView:
    """Messages quote what programs say, so that secrets are taken out."""
    record = hide_in(record)
    status, step, of = str(record["status"]), int(record.get("step") or 0), int(record.get("of") or 0)
    metric = record.get("metric") or {}
    over = status in FINAL_STATES
    return JobView(
        id=record["id"],
        status=status,
        words=WORDS.get(JobOutcome(status), status) if over else status,
        over=over,
        stage=str(record.get("stage") or ""),
        step=step,
        of=of,
        share=min(1.0, step / of) if of else None,
        loss=metric.get("loss"),
        seconds_left=None if over else record.get("seconds_left"),
        asked_at=record.get("asked_at"),
        ended_at=record.get("ended_at"),
        by=str(record.get("by") or ""),
        version=str(record.get("version") or ""),
        message=str(record.get("message") or ""),
    )
