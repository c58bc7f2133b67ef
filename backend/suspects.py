"""What an admin sees of the labels that are probably wrong; knows no HTTP."""

from __future__ import annotations

from typing import Any

from backend.errors import NotFound
from backend.services import Services

LIMIT = 100
"""Suspects given when no limit is asked for."""


def describe_suspects(services: Services, project: int, control: str = "", limit: int = LIMIT) -> dict[str, Any]:
    """`suspects`: most suspicious first, over all controls or of one; `searched`: control -> rows that were looked at
    and when, empty before the first whole search. Raises NotFound for a control that has none."""
    entries = services.stores.suspects.read(project)
    if control:
        if entries and control not in entries:
            raise NotFound(f"control {control}: not searched here; those that were are {', '.join(entries)}")
        entries = {name: entry for name, entry in entries.items() if name == control}
    rows = [
        {"control": name, **row, "annotations": [int(id_) for id_ in row["annotations"]]}
        for name, entry in entries.items()
        for row in entry["rows"]
    ]
    rows.sort(key=lambda row: (row["p_given"], row["task"]))
    searched = {name: {"labels": entry["searched"], "at": entry["at"]} for name, entry in entries.items()}
    return {"suspects": rows[:limit], "found": len(rows), "searched": searched}
