"""What one format needs to write a version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backend.export.wish import Wish
from backend.settings.settings import Settings
from backend.store.stores import Stores
from model.spec import Document

if TYPE_CHECKING:
    from model.export.bundle import Source


@dataclass(frozen=True)
class Order:
    """`directory` is not there yet; whole or not at all is not the format's concern. `documents`: texts to compare
    answers on. `tell` takes lines for people."""

    settings: Settings
    stores: Stores
    wish: Wish
    source: Source
    directory: Path
    documents: Sequence[Document]
    tell: Callable[[str], None]
