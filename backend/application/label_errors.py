"""What an admin sees of the labels that are probably wrong; knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

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
    and when, empty before the first whole search; `not_searched`: controls that mark text and were not, if any. Raises
    NotFound for a control that has none."""
    entries = stores.label_errors.read(project)
    if control:
        if entries and control not in entries:
            raise NotFound(f"control {control}: not searched here; those that were are {', '.join(entries)}")
        entries = {name: entry for name, entry in entries.items() if name == control}
    spec = spec_of(stores.projects.config(project))
    marking = [item.name for item in spec.spans] if spec else []
    lists = {
        name: [
            _suspect(name, row, *texts)
            for row, texts in zip(entry["rows"], _texts(spec, name, entry["rows"]), strict=True)
        ]
        for name, entry in entries.items()
    }
    rows = _in_order(lists, marking)
    searched: dict[str, Searched] = {
        name: {"labels": entry["searched"], "at": entry["at"]} for name, entry in entries.items()
    }
    found: SuspectsAnswer = {"suspects": rows[:limit], "found": len(rows), "searched": searched}
    missing = [name for name in marking if name not in searched and control in ("", name)]
    return {**found, "not_searched": missing} if missing else found


def _suspect(control: str, row: LabelErrorRow, given: str, suggested: str) -> Suspect:
    found: Suspect = {
        "control": control,
        "task": row["task"],
        "annotations": [int(id_) for id_ in row["annotations"]],
        "text": row["text"],
        "given": given,
        "suggested": suggested,
        "p_given": row["p_given"],
        "p_suggested": row["p_suggested"],
        "flag": row["flag"],
    }
    if "kind" in row:
        found["kind"] = row["kind"]
    if "given_span" in row:
        found["given_span"] = row["given_span"]
    if "suggested_span" in row:
        found["suggested_span"] = row["suggested_span"]
    return found


def _in_order(lists: Mapping[str, Sequence[Suspect]], marking: Sequence[str]) -> list[Suspect]:
    """Of choices by how unlikely what was given is. Marked text has an order of its own, which probabilities do not
    tell: its controls, and all choices together, take turns."""
    choices = [row for name, rows in lists.items() if name not in marking for row in rows]
    choices.sort(key=lambda row: (row["p_given"], row["task"]))
    turns = zip_longest(choices, *(lists[name] for name in marking if name in lists))
    return [row for turn in turns for row in turn if row is not None]


def _texts(spec: TaskSpec | None, control: str, rows: Sequence[LabelErrorRow]) -> list[tuple[str, str]]:
    """`given` and `suggested` of each row as people read them; of a set one of the two may be missing."""
    texts = texts_of(spec, control, [key for row in rows for key in (row["given"], row["suggested"]) if key])

    def shown(key: str) -> str:
        return texts[key] if key else ""

    return [(shown(row["given"]), shown(row["suggested"])) for row in rows]
