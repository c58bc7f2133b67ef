"""One stored annotation: the unit of the example store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

Targets = dict[str, Any]
"""Control name -> label paths (list[list[str]]) or, for Rating, an int."""


@dataclass(frozen=True)
class ExampleRecord:
    """An annotation as it is stored. Empty `targets`: skipped or empty, so no example, but it supersedes older ones."""

    annotation: int
    task: int
    texts: Mapping[str, str]
    targets: Targets
    updated_at: str
    annotator: int | None = None
    ground_truth: bool = False

    @property
    def version(self) -> str:
        """`updated_at` in microseconds, zero-padded, so that strings compare like times."""
        return f"{microseconds(self.updated_at):020d}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ExampleRecord:
        """Inverse of `to_json`."""
        return cls(**data)


def microseconds(stamp: str) -> int:
    """ISO 8601 time as microseconds since 1970; 0 for an empty or unreadable stamp (any other update is newer)."""
    try:
        moment = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    except (ValueError, AttributeError):
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0, round(moment.timestamp() * 1_000_000))
