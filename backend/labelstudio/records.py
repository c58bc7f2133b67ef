"""What is stored of one annotation: its texts, its answers, and when it was last changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

Target = list[list[str]] | int
"""The answer of one control: the paths of the chosen labels, or the stars of a Rating."""


@dataclass(frozen=True)
class ExampleRecord:
    """One human annotation of one task.

    `texts` maps input name -> plain text, `targets` control name -> answer. Empty targets say that the annotation
    teaches nothing (skipped, empty, unreadable task): it still supersedes an older record of the same annotation.
    `updated_at` is Label Studio's own time stamp, as sent: it alone orders the changes of an annotation."""

    annotation: int
    task: int
    texts: Mapping[str, str] = field(default_factory=dict)
    targets: Mapping[str, Target] = field(default_factory=dict)
    updated_at: str = ""
    annotator: int | None = None
    ground_truth: bool = False

    @property
    def version(self) -> int:
        """`updated_at` in microseconds since 1970: the larger one is the newer change."""
        return microseconds(self.updated_at)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ExampleRecord:
        """Inverse of `to_json`. Raises KeyError, TypeError or ValueError on foreign data."""
        annotator = data["annotator"]
        return cls(
            annotation=int(data["annotation"]),
            task=int(data["task"]),
            texts={str(name): str(text) for name, text in data["texts"].items()},
            targets={str(name): _read_target(target) for name, target in data["targets"].items()},
            updated_at=str(data["updated_at"]),
            annotator=None if annotator is None else int(annotator),
            ground_truth=bool(data["ground_truth"]),
        )


def microseconds(stamp: str) -> int:
    """An ISO 8601 time stamp as microseconds since 1970; without a zone it is UTC. Raises ValueError."""
    # Python 3.10's fromisoformat knows no Z.
    moment = datetime.fromisoformat(stamp[:-1] + "+00:00" if stamp.endswith(("Z", "z")) else stamp)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def _read_target(target: Any) -> Target:
    if isinstance(target, list):
        return [[str(part) for part in path] for path in target]
    return int(target)
