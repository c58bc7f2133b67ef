"""What new labels have said about the versions that served: the learning curve, and how the pool would fare."""

from __future__ import annotations

from backend.admin_json import CurveAnswer
from backend.rules.recent_answers import ROWS_READ, summarise_evidence
from backend.store.evidence import EvidenceStore


def describe_curve(store: EvidenceStore, project: int) -> CurveAnswer:
    """The learning curve of each control, and its latest metrics with the estimate for the pool."""
    from model.evidence.learning_curve import learning_curve, tally

    rows = store.rows(project, ROWS_READ)
    return {
        "curve": learning_curve(store.tallies(project) or tally(rows)),  # rows of an earlier release were not added up
        "recent": summarise_evidence(rows, store.survey(project)),
    }
