"""Long lists, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Row = TypeVar("Row")

PAGE_ROWS = 25
"""What fits on a screen or two."""


@dataclass(frozen=True)
class Place:
    """Page `number` of `pages`, from 1; rows `first` to `last` of `rows`, from 1, both 0 of none."""

    number: int
    pages: int
    first: int
    last: int
    rows: int


def cut_page(rows: Sequence[Row], asked: Mapping[str, str], size: int = PAGE_ROWS) -> tuple[list[Row], Place]:
    """The rows of the page that `?page=` asks for, the nearest one that there is, and where they stand."""
    pages = max(1, -(-len(rows) // size))
    text = asked.get("page", "")
    wanted = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 1
    number = min(max(1, wanted), pages)
    found = list(rows[(number - 1) * size : number * size])
    first = (number - 1) * size + 1 if found else 0
    return found, Place(number, pages, first, max(0, first + len(found) - 1), len(rows))
