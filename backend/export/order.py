"""What one format needs to write a version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from backend.export.wish import Wish
from backend.settings.settings import Settings
from backend.store.stores import Stores
from model.spec import Document

if TYPE_CHECKING:
    from model.export.bundle import Source


class Tell(Protocol):
    """Takes a line for people, and while something is counted how far it is."""

    def __call__(self, line: str, step: int = 0, of: int = 0) -> None: ...


def tell_nobody(line: str, step: int = 0, of: int = 0) -> None:
    """Of whoever does not want to know."""


@dataclass(frozen=True)
class Order:
    """`directory` is not there yet; whole or not at all is not the format's concern. `documents`: texts to compare
    answers on."""

    settings: Settings
    stores: Stores
    wish: Wish
    source: Source
    directory: Path
    documents: Sequence[Document]
    tell: Tell
