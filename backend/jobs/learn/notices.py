"""After a refit: tells, once, that labels are enough or that answers have become worse. Only where somebody is told."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from backend.jobs.context import Context
from backend.rules.notice.drift import find_drift
from backend.rules.notice.enough import find_levels
from backend.rules.recent_answers import ROWS_READ
from backend.store.outbox.event import drift_noticed, labels_enough
from model.evidence.row import EvidenceRow

log = logging.getLogger(__name__)


def tell_news(work: Context, project: int, surveyed: bool) -> None:
    """`surveyed`: the pool was asked anew. Raises StoreUnavailable."""
    rows = work.stores.evidence.rows(project, ROWS_READ)
    _tell_drift(work, project, rows)
    if surveyed and work.settings.notify_accuracy:
        _tell_enough(work, project)


def _tell_drift(work: Context, project: int, rows: Sequence[EvidenceRow]) -> None:
    outbox = work.stores.outbox
    told = outbox.told(project)
    for control in sorted({row.control for row in rows}):
        name = f"drift:{control}"
        mine = [row for row in rows if row.control == control]
        if found := find_drift(mine, float(told.get(name, 0))):
            log.warning("drift project=%s control=%s: %s", project, control, found)
            event = drift_noticed(project, control, found.tests, found.right, found.expected)
            outbox.put_once(project, name, str(found.until), event)


def _tell_enough(work: Context, project: int) -> None:
    """Once for each target; again when it was lost in between."""
    evidence, outbox, target = work.stores.evidence, work.stores.outbox, work.settings.notify_accuracy
    for level in find_levels(evidence.rows(project), evidence.surveys(project)):
        name = f"enough:{level.control}"
        if level.low >= target:
            figures = (level.level, level.low)
            event = labels_enough(project, level.control, level.measure, figures, level.labels, target)
            outbox.put_once(project, name, str(target), event)
        elif level.level < target:
            outbox.forget(project, name)
