"""How long work waits that keeps failing."""

from __future__ import annotations

import pytest

from backend.redis_access.job_kinds import KIND_OF_NAME
from backend.store.stores import Stores

pytestmark = pytest.mark.redis


@pytest.mark.parametrize(("kind", "most"), [("refit", 60), ("sync", 600), ("train", 600)])
def test_a_refit_that_was_killed_often_is_tried_again_within_a_minute(stores: Stores, kind: str, most: int) -> None:
    """The longest wait is the deadline by which a project learns again that others' kills have hit."""
    assert KIND_OF_NAME[kind].longest_wait_seconds == most
    for _ in range(12):
        stores.failures.release(7, kind)
        assert stores.failures.begin(7, kind) == 0
    assert most / 2 < stores.failures.waits(7, kind) <= most
    assert stores.failures.describe(7)[kind]["failures"] == 11
