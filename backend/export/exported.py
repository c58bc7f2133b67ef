"""What an export came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.export.wish import Format

if TYPE_CHECKING:
    from model.export.parity import Parity


@dataclass(frozen=True)
class Exported:
    """`refused`: graphs that were left out, since they answer otherwise."""

    version: str
    control: str
    format: Format
    parities: tuple[Parity, ...]
    refused: tuple[str, ...]
