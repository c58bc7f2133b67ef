"""How the last labels were answered before they were learned, and what that says of the unlabelled tasks.

Only numpy is needed, so that the web process can say it, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from backend.admin_json import ControlMetrics
from backend.store.evidence import EvidenceStore, Survey
from model.evidence.row import EvidenceRow

if TYPE_CHECKING:
    from model.evidence.pool_accuracy import PoolSummary

RECENT_ROWS = 200
"""Latest test-then-train rows of a control that the metrics are taken over."""

ROWS_READ = 3 * RECENT_ROWS
"""Of all controls together."""


def summarise_evidence(rows: Sequence[EvidenceRow], survey: Survey | None = None) -> dict[str, ControlMetrics]:
    """Control -> how the versions that served answered its RECENT_ROWS last new labels before they learned them.

    `pool`, once there are rows and a survey: the accuracy to be expected on the tasks that nobody has labelled, by the
    rows of versions that knew half the labels or more: what the first ones were sure of says nothing about today's."""
    from model.evidence.marked_text import summarise_marks
    from model.evidence.pool_accuracy import estimate_accuracy

    pools: Mapping[str, PoolSummary] = (survey or {}).get("controls", {})
    labels = int((survey or {}).get("labels", 0))
    found: dict[str, ControlMetrics] = {}
    for control in sorted({row.control for row in rows}):
        mine = [row for row in rows if row.control == control][-RECENT_ROWS:]
        count = len(mine)
        confidences, hits = [row.confidence for row in mine], [row.correct for row in mine]
        found[control] = {
            "n": count,
            "accuracy": round(sum(hits) / count, 4),
            "confidence": round(sum(confidences) / count, 4),
            "log_loss": round(sum(row.log_loss for row in mine) / count, 4),
        }
        alike = [index for index, row in enumerate(mine) if 2 * row.labels >= labels]
        estimate = estimate_accuracy(
            [confidences[index] for index in alike], [hits[index] for index in alike], pools.get(control) or {}
        )
        if estimate is not None:
            found[control]["pool"] = estimate
        if (marked := summarise_marks(mine)) is not None:
            found[control]["marked"] = marked
    return found


def keep_figures(store: EvidenceStore, project: int) -> None:
    """Count anew how the last labels were answered, for the page that lists all projects."""
    store.save_figures(project, summarise_evidence(store.rows(project, ROWS_READ), store.survey(project)))
