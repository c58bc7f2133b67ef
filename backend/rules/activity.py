"""How much people annotated: labels a day, and labels an hour of each annotator. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from itertools import pairwise

from backend.labelstudio.records import ExampleRecord
from backend.record_json import Activity, Pace

DAYS_KEPT = 60
"""Days with labels that are told, the last ones."""

PAUSE_SECONDS = 600.0
"""Who has not answered for so long was away: the gap is no working time."""

LEAST_ANSWERS = 5
"""Answers of one sitting from which a pace is told: of fewer the first text's reading is most of it."""


def count_activity(records: Iterable[ExampleRecord]) -> Activity:
    """Days are UTC's. An answer counts on the day of its last change, which is all that Label Studio's time stamp
    says."""
    days: Counter[str] = Counter()
    times: dict[str, list[float]] = {}
    for record in records:
        moment = _moment(record.updated_at)
        if not record.teaches or moment is None:
            continue
        days[moment.date().isoformat()] += 1
        if record.annotator is not None:
            times.setdefault(str(record.annotator), []).append(moment.timestamp())
    return {
        "days": dict(sorted(days.items())[-DAYS_KEPT:]),
        "people": {name: _pace(sorted(found)) for name, found in sorted(times.items())},
    }


def _pace(moments: Sequence[float]) -> Pace:
    """`moments`, ascending."""
    gaps = [late - early for early, late in pairwise(moments) if late - early <= PAUSE_SECONDS]
    pace: Pace = {"labels": len(moments), "last": moments[-1]}
    if len(gaps) + 1 >= LEAST_ANSWERS and (worked := sum(gaps)) > 0:
        pace["an_hour"] = round(3600 * len(gaps) / worked, 1)
    return pace


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.astimezone(timezone.utc) if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
