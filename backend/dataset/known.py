"""What is known of labels besides themselves: what was answered before they were learned, and which are doubted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.record_json import LabelErrorRow
from backend.store.stores import Stores
from model.evidence.row import EvidenceRow

Place = tuple[int, str]
"""Task and control."""


@dataclass(frozen=True)
class Known:
    """`tested`: of the last labels, how the version that was live had answered (decision 0001); `suspects`: labels that
    are probably wrong."""

    tested: Mapping[Place, EvidenceRow]
    suspects: Mapping[Place, Sequence[LabelErrorRow]]


def read_known(stores: Stores, project: int) -> Known:
    """Of a project."""
    suspects: dict[Place, list[LabelErrorRow]] = {}
    for name, entry in stores.label_errors.read(project).items():
        for row in entry["rows"]:
            suspects.setdefault((row["task"], name), []).append(row)
    tested = {(row.task, row.control): row for row in stores.evidence.rows(project, hunted=True) if row.task}
    return Known(tested, suspects)
