"""The rooms: what each folder of `backend` and `model` says of itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def rooms() -> Iterator[tuple[str, str]]:
    """Folder and the docstring of its `__init__`, `model` first, in the order of their names."""
    for package in ("model", "backend"):
        for path in sorted((REPOSITORY / package).rglob("__init__.py")):
            idea = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            yield path.parent.relative_to(REPOSITORY).as_posix(), " ".join(idea.split())


def room_table() -> str:
    rows = "".join(f"| [`{room}/`](../{room}) | {idea} |\n" for room, idea in rooms())
    return f"| room | its one idea |\n|---|---|\n{rows}"
