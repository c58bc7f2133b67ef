"""All promises, checked on one history."""

from __future__ import annotations

from collections.abc import Sequence

from bench.chaos.check.history import Entry
from bench.chaos.check.serving_checks import check_serving
from bench.chaos.check.store_checks import check_store
from bench.chaos.check.violation import Violation


def find_violations(history: Sequence[Entry]) -> list[Violation]:
    """Violations by time; the history must be ordered by `t`."""
    return sorted([*check_store(history), *check_serving(history)], key=lambda violation: violation.at)
