"""All promises, checked on one history."""

from __future__ import annotations

from collections.abc import Sequence

from bench.ordeal.findings import Violation
from bench.ordeal.history import Entry
from bench.ordeal.serving_checks import check_serving
from bench.ordeal.store_checks import check_store


def find_violations(history: Sequence[Entry]) -> list[Violation]:
    """Violations by time; the history must be ordered by `t`."""
    return sorted([*check_store(history), *check_serving(history)], key=lambda violation: violation.at)
