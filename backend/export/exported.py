"""What an export came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.export.wish import Format

if TYPE_CHECKING:
    from model.export.parity import Parity
    from model.export.stock.parity import Accuracy


@dataclass(frozen=True)
class Exported:
    """`refused`: graphs that were left out, since they answer otherwise; `lossy`: those that were taken although they
    do. Of a stock classifier `how` it was made, its `accuracy` on labelled texts that it was not `taught` (how many it
    was; for `unasked` others there was no time), and what it cannot say (`unsaid`, "" for nothing)."""

    version: str
    control: str
    format: Format
    parities: tuple[Parity, ...]
    refused: tuple[str, ...]
    how: str = ""
    accuracy: Accuracy | None = None
    taught: int = 0
    lossy: tuple[str, ...] = ()
    unsaid: str = ""
    unasked: int = 0
