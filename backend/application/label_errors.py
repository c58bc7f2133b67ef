"""What an admin sees of the labels that are probably wrong; knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backend.application.services import Services
from backend.errors import NotFound
from backend.labelstudio.label_display import spec_of, texts_of
from model.spec import TaskSpec

DEFAULT_LIMIT_SUSPECTS = 100
"""Suspects given when no limit is asked for."""


def describe_suspects(
    services: Services, project: int, control: str = "", limit: int = DEFAULT_LIMIT_SUSPECTS
) -> dict[str, Any]:
    """`suspects`: most suspicious first, over all controls or of one; `searched`: control -> rows that were looked at
    and when, empty before the first whole search. Raises NotFound for a control that has none."""
    entries = services.stores.label_errors.read(project)
    if control:
        if entries and control not in entries:
            raise NotFound(f"control {control}: not searched here; those that were are {', '.join(entries)}")
        entries = {name: entry for name, entry in entries.items() if name == control}
    spec = spec_of(services.stores.projects.config(project))
    rows = [
        {"control": name, **row, **said, "annotations": [int(id_) for id_ in row["annotations"]]}
        for name, entry in entries.items()
        for row, said in zip(entry["rows"], _texts(spec, name, entry["rows"]), strict=True)
    ]
    rows.sort(key=lambda row: (row["p_given"], row["task"]))
    searched = {name: {"labels": entry["searched"], "at": entry["at"]} for name, entry in entries.items()}
    return {"suspects": rows[:limit], "found": len(rows), "searched": searched}


def _texts(spec: TaskSpec | None, control: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """`given` and `suggested` of each row as people read them; of a set one of the two may be missing."""
    fields = ("given", "suggested")
    texts = texts_of(spec, control, [row[field] for row in rows for field in fields if row[field]])
    return [{field: texts[row[field]] if row[field] else "" for field in fields} for row in rows]
