"""A learner that only learns corrections keeps nothing of them: what a process holds grows with examples alone."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import pytest

from backend.jobs.learn.refit import refit
from tests.support.marking import MIXED, PROJECT, Marks, sentences

CORRECTIONS = 8
ALLOWED = 300
"""Objects that come and go between two countings; one refit makes some hundred thousand."""


@pytest.mark.long
def test_refits_after_corrections_leave_nothing_behind(context: Any) -> None:
    marks, documents = Marks(context, MIXED), sentences(72)
    marks.add(documents)

    def correct(day: int) -> int:
        """Every answer given once more, another one than before; the objects that there are then."""
        for place in range(CORRECTIONS):
            document = documents[place]
            drawn = document.spans[:1] if day % 2 else document.spans
            record = marks.record(replace(document, spans=drawn), place)
            marks.put([replace(record, updated_at=f"2026-02-{day:02d}T00:00:{place:02d}Z")])
            assert refit(PROJECT) == "published"
        gc.collect()
        return len(gc.get_objects())

    correct(1)
    before = correct(2)
    assert correct(4) - before < ALLOWED
