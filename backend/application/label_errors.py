"""What an admin sees of the labels that are probably wrong; knows no HTTP."""

from __future__ import annotations

from collections.abc import Sequence

from backend.admin_json import Searched, Suspect, SuspectsAnswer
from backend.errors import NotFound
from backend.labelstudio.label_display import spec_of, texts_of
from backend.record_json import LabelErrorRow
from backend.store.stores import Stores
from model.spec import TaskSpec

DEFAULT_LIMIT_SUSPECTS = 100
"""Suspects given when no limit is asked for."""


def describe_suspects(
    stores: Stores, project: int, control: str = "", limit: int = DEFAULT_LIMIT_SUSPECTS
) -> SuspectsAnswer:
    """`suspects`: most suspicious first, over all controls or of one; `searched`: control -> rows that were looked at
    and when, empty before the first whole search; `not_searched`: controls that mark text, if any. Raises NotFound for
    a control that has none."""
    entries = stores.label_errors.read(project)
    if control:
        if entries and control not in entries:
            raise NotFound(f"control {control}: not searched here; those that were are {', '.join(entries)}")
        entries = {name: entry for name, entry in entries.items() if name == control}
    spec = spec_of(stores.projects.config(project))
    rows: list[Suspect] = [
        {
            "control": name,
            "task": row["task"],
            "annotations": [int(id_) for id_ in row["annotations"]],
            "text": row["text"],
            "given": given,
            "suggested": suggested,
            "p_given": row["p_given"],
            "p_suggested": row["p_suggested"],
            "flag": row["flag"],
        }
        for name, entry in entries.items()
        for row, (given, suggested) in zip(entry["rows"], _texts(spec, name, entry["rows"]), strict=True)
    ]
    rows.sort(key=lambda row: (row["p_given"], row["task"]))
    searched: dict[str, Searched] = {
        name: {"labels": entry["searched"], "at": entry["at"]} for name, entry in entries.items()
    }
    marking = [item.name for item in spec.spans] if spec else []
    found: SuspectsAnswer = {"suspects": rows[:limit], "found": len(rows), "searched": searched}
    return {**found, "not_searched": marking} if marking else found


def _texts(spec: TaskSpec | None, control: str, rows: Sequence[LabelErrorRow]) -> list[tuple[str, str]]:
    """`given` and `suggested` of each row as people read them; of a set one of the two may be missing."""
    texts = texts_of(spec, control, [key for row in rows for key in (row["given"], row["suggested"]) if key])

    def shown(key: str) -> str:
        return texts[key] if key else ""

    return [(shown(row["given"]), shown(row["suggested"])) for row in rows]
