"""Drift is told when answers are right clearly less often than they claim, and labels are enough when that is sure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backend.rules.notice.drift import BEFORE, RECENT, find_drift
from backend.rules.notice.enough import find_levels
from backend.store.evidence import PastSurvey
from model.evidence.row import EvidenceRow, Judgement


def rows(count: int, right: float, claimed: float = 0.8, start: int = 0, labels: int = 500) -> list[EvidenceRow]:
    """Evenly right, oldest first."""
    hits = np.floor(np.arange(1, count + 1) * right) > np.floor(np.arange(count) * right)
    return [
        EvidenceRow("label", Judgement(claimed, bool(hit), 0.5), labels=labels + place, at=float(start + place + 1))
        for place, hit in enumerate(hits)
    ]


def test_answers_that_become_worse_than_they_claim_are_noticed() -> None:
    found = find_drift(rows(300, 0.8) + rows(RECENT, 0.4, start=300))
    assert found is not None
    assert (found.control, found.tests, found.until) == ("label", RECENT, 360.0)
    assert found.right == pytest.approx(0.4, abs=0.02) and found.expected == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (rows(300, 0.8), rows(RECENT, 0.8, start=300)),
        (rows(300, 0.8), rows(RECENT, 0.7, start=300)),  # may be luck
        (rows(300, 0.8), rows(RECENT, 0.4, claimed=0.4, start=300)),  # harder tasks, and the model knows
        (rows(300, 0.6), rows(RECENT, 0.6, start=300)),  # it claimed too much before as well
        (rows(300, 0.4), rows(RECENT, 0.9, start=300)),
        (rows(BEFORE[0] - 1, 0.8), rows(RECENT, 0.3, start=300)),
        (rows(300, 0.8, labels=10), rows(RECENT, 0.3, start=300, labels=2000)),  # what is usual was learned long ago
        ([], []),
    ],
)
def test_what_is_usual_harder_or_too_little_is_no_drift(before: list[EvidenceRow], after: list[EvidenceRow]) -> None:
    assert find_drift(before + after) is None


def test_what_was_told_is_not_told_again() -> None:
    seen = rows(300, 0.8) + rows(RECENT, 0.4, start=300)
    found = find_drift(seen)
    assert found is not None and find_drift(seen, found.until) is None
    later = [replace(row, at=(row.at or 0) + 400) for row in seen]
    assert find_drift(seen + later, found.until) is not None


def surveys(*means: float) -> list[PastSurvey]:
    return [
        {"labels": 100 * 2**place, "controls": {"label": {"n": 500, "mean": mean}}} for place, mean in enumerate(means)
    ]


def test_levels_are_told_with_what_is_sure() -> None:
    (level,) = find_levels(rows(300, 0.9, claimed=0.9, labels=400), surveys(0.8, 0.86, 0.9))
    assert level.control == "label" and level.measure == "accuracy" and level.labels == 400
    assert 0.8 < level.low < level.level < 0.95
    assert find_levels([], surveys(0.8)) == [] and find_levels([], []) == []
