"""A violation of a promise, with the entries of the history that show it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Violation:
    """`kind` names the promise that was broken."""

    kind: str
    what: str
    project: int = 0
    at: float = 0.0
    evidence: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


Found = Iterator[Violation]
