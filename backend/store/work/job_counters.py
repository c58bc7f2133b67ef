"""Counters of the processes that have no port: what /metrics shows of jobs, whoever ran them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.redis_access.connection import Client, guarded
from backend.redis_access.keys import TALLIES

DURATION_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
"""Upper bounds in seconds: refits take tenths of a second, fine-tunes minutes to hours."""


@dataclass(frozen=True)
class JobCounters:
    """Everything counted since the store began."""

    jobs: dict[tuple[str, str], float] = field(default_factory=dict)
    """(kind, outcome) -> jobs."""
    slower: dict[tuple[str, str], float] = field(default_factory=dict)
    """(kind, upper bound as text, or inf) -> jobs in this bucket and in no smaller one."""
    seconds: dict[str, float] = field(default_factory=dict)
    """kind -> seconds of all jobs."""
    resynced: dict[str, float] = field(default_factory=dict)
    """outcome -> annotations that a reconciliation changed."""


class JobCounterStore:
    """One hash; its fields are bounded by the kinds and outcomes in the code, whatever the number of projects."""

    def __init__(self, client: Client) -> None:
        self._redis = client

    @guarded
    def count_job(self, kind: str, outcome: str, seconds: float) -> None:
        """Count one ended job."""
        bound = next((str(bound) for bound in DURATION_BUCKETS if seconds <= bound), "inf")
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hincrbyfloat(TALLIES, f"jobs|{kind}|{outcome}", 1)
        pipeline.hincrbyfloat(TALLIES, f"slower|{kind}|{bound}", 1)
        pipeline.hincrbyfloat(TALLIES, f"seconds|{kind}", round(seconds, 4))
        pipeline.execute()

    @guarded
    def count_resynced(self, outcomes: Mapping[str, int]) -> None:
        """What a reconciliation changed in the store: outcome -> annotations."""
        pipeline = self._redis.pipeline(transaction=True)
        for outcome, count in outcomes.items():
            if count:
                pipeline.hincrbyfloat(TALLIES, f"resynced|{outcome}", count)
        if len(pipeline):
            pipeline.execute()

    @guarded
    def read(self) -> JobCounters:
        return parse_counters(self._redis.hgetall(TALLIES))


def parse_counters(fields: Mapping[str, str]) -> JobCounters:
    """The hash as a JobCounters; fields of other releases are passed over."""
    tally = JobCounters()
    for name, text in fields.items():
        kind, *parts = name.split("|")
        value = float(text)
        match kind, parts:
            case "jobs", [job, outcome]:
                tally.jobs[job, outcome] = value
            case "slower", [job, bound]:
                tally.slower[job, bound] = value
            case "seconds", [job]:
                tally.seconds[job] = value
            case "resynced", [outcome]:
                tally.resynced[outcome] = value
    return tally
