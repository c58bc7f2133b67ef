"""Whether the last answers were right clearly less often than they claimed to be, compared with those before.

Against their own confidence, since the queue hands out what the model is unsure of: that alone makes answers worse.
Texts of another kind, another understanding of the labels and a faulty import all show in it. Pure Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from model.evidence.row import EvidenceRow

RECENT = 60
"""Last answers that are looked at: fewer tell of nothing but luck."""

BEFORE = (100, 400)
"""Fewest answers before them that say what is usual, and the most that are read."""

LEARNED = 0.5
"""Of the labels now: what was known when an answer was given that says what is usual."""

LEAST_GAP = 0.1
"""Points of accuracy below what was claimed that are worth telling."""

PROOF = 3.0
"""Standard errors; it is looked at after every label (false alarms and delay: bench/advice.py --drift)."""

MISS = 0.025
"""Standard deviation of what calibrated heads miss, in each of the two parts (model/evidence/forecast.py)."""


@dataclass(frozen=True)
class Drift:
    """Of `tests` answers the share that was `right`, and the one that was to be `expected` by their confidence and by
    what that was worth before. `until`: time of the last one."""

    control: str
    tests: int
    right: float
    expected: float
    until: float


def find_drift(rows: Sequence[EvidenceRow], since: float = 0.0) -> Drift | None:
    """`rows` of one control, oldest first; those up to `since` (epoch seconds) were told of."""
    mine = [row for row in rows if (row.at or 0.0) > since]
    recent = mine[-RECENT:]
    if len(recent) < RECENT:
        return None
    known = recent[-1].labels
    usual = [row for row in mine[:-RECENT][-BEFORE[1] :] if row.labels >= LEARNED * known]
    if len(usual) < BEFORE[0]:
        return None
    now, before = ([row.confidence - row.correct for row in part] for part in (recent, usual))
    gap = fmean(now) - fmean(before)
    error = (variance(now) / len(now) + variance(before) / len(before) + 2 * MISS**2) ** 0.5
    if gap < max(LEAST_GAP, PROOF * error):
        return None
    right = fmean(float(row.correct) for row in recent)
    return Drift(recent[-1].control, len(recent), round(right, 3), round(right + gap, 3), recent[-1].at or 0.0)
