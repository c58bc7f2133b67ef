"""Markdown from what people wrote: nothing of it becomes markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def cell(text: str) -> str:
    """One line of text in a table or a sentence."""
    shown = " ".join(str(text).split())
    for char, safe in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("`", "\\`"), ("[", "\\["), ("*", "\\*")):
        shown = shown.replace(char, safe)
    return shown


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Its lines; no line without a row."""
    lines = [f"| {' | '.join(cell(str(one)) for one in row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines] if lines else []
