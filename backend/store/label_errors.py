"""Labels that are probably wrong, as the last whole search found them; one list a control."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import NotRequired, TypedDict

from backend.record_json import LabelErrorRow, SpanPlace
from backend.redis_access.connection import Client, guarded, read_all
from backend.redis_access.keys import project_key
from model.evidence.row import read_count, read_number, read_share


class LabelErrors(TypedDict):
    """One control's: how many labels were `searched`, when (epoch seconds), and on which `seq`; `known`: labels that
    there were, of marked text, where not all are searched."""

    searched: int
    at: float
    rows: list[LabelErrorRow]
    seq: NotRequired[int]
    known: NotRequired[int]


class LabelErrorStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client) -> None:
        self._redis = client

    @guarded
    def replace(self, project: int, found: Mapping[str, LabelErrors], controls: Collection[str], seq: int) -> None:
        """`found` by control, in place of what was there; controls that are not in it keep theirs, those that are not
        in `controls` are forgotten."""
        key = project_key(project, "suspects")
        gone = [name for name in self._redis.hkeys(key) if name not in controls]
        pipeline = self._redis.pipeline(transaction=True)
        if gone:
            pipeline.hdel(key, *gone)
        if found:
            values = {name: json.dumps({**entry, "seq": seq}, ensure_ascii=True) for name, entry in found.items()}
            pipeline.hset(key, mapping=values)
        pipeline.execute()

    @guarded
    def replace_duplicates(self, project: int, found: Mapping[str, Sequence[LabelErrorRow]]) -> None:
        """Labels that those of duplicates speak against, in place of what was there: they are known after each label,
        without a search."""
        key = project_key(project, "suspects:duplicates")
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.delete(key)
        if found:
            pipeline.hset(key, mapping={name: json.dumps(rows, ensure_ascii=True) for name, rows in found.items()})
        pipeline.execute()

    def read_with_duplicates(self, project: int) -> dict[str, LabelErrors]:
        """As `read`, with the labels that those of duplicates speak against; such a row that a search has found as well
        comes once. A control that was not searched has 0 labels `searched`. Raises StoreUnavailable."""
        found = self.read(project)
        for name, rows in self._duplicates(project).items():
            entry = found.get(name, {"searched": 0, "at": 0.0, "rows": []})
            like = {(row["task"], row["given"]): row.get("like", 0) for row in rows}
            known = {(row["task"], row["given"]) for row in entry["rows"]}
            told: list[LabelErrorRow] = [
                {**row, "like": like[row["task"], row["given"]]} if (row["task"], row["given"]) in like else row
                for row in entry["rows"]
            ]
            more = [row for row in rows if (row["task"], row["given"]) not in known]
            found[name] = {**entry, "rows": [*told, *more]}
        return found

    @guarded
    def _duplicates(self, project: int) -> dict[str, list[LabelErrorRow]]:
        values = self._redis.hgetall(project_key(project, "suspects:duplicates"))
        found: dict[str, list[LabelErrorRow]] = {}
        for name, text in sorted(values.items()):
            for rows in read_all([text], _rows, f"label errors of project {project}"):
                found[name] = rows
        ids = sorted({id_ for rows in found.values() for row in rows for id_ in row["annotations"]})
        known = self._redis.hmget(project_key(project, "ver"), ids) if ids else []
        present = dict(zip(ids, known, strict=True))
        return {name: kept for name, rows in found.items() if (kept := _still(rows, present))}

    @guarded
    def read(self, project: int) -> dict[str, LabelErrors]:
        """Control -> what `replace` was given, without the rows whose annotations have changed or gone since, and
        without what cannot be read: such a control is searched anew."""
        values = self._redis.hgetall(project_key(project, "suspects"))
        entries: dict[str, LabelErrors] = {}
        for name, text in sorted(values.items()):
            for entry in read_all([text], _entry, f"label errors of project {project}"):
                entries[name] = entry
        ids = sorted({id_ for entry in entries.values() for row in entry["rows"] for id_ in row["annotations"]})
        known = self._redis.hmget(project_key(project, "ver"), ids) if ids else []
        present = dict(zip(ids, known, strict=True))
        return {name: {**entry, "rows": _still(entry["rows"], present)} for name, entry in entries.items()}


def _entry(data: LabelErrors) -> LabelErrors:
    """Raises AttributeError, KeyError, TypeError or ValueError on foreign data."""
    found: LabelErrors = {
        "searched": read_count(data["searched"]),
        "at": read_number(data["at"]),
        "rows": [_row(row) for row in data["rows"]],
    }
    if "seq" in data:
        found["seq"] = read_count(data["seq"])
    if "known" in data:
        found["known"] = read_count(data["known"])
    return found


def _rows(data: Sequence[LabelErrorRow]) -> list[LabelErrorRow]:
    return [_row(row) for row in data]


def _row(data: LabelErrorRow) -> LabelErrorRow:
    found: LabelErrorRow = {
        "task": read_count(data["task"]),
        "annotations": {str(read_count(int(id_))): str(version) for id_, version in data["annotations"].items()},
        "text": str(data["text"]),
        "given": str(data["given"]),
        "suggested": str(data["suggested"]),
        "p_given": read_share(data["p_given"]),
        "p_suggested": read_share(data["p_suggested"]),
        "flag": str(data["flag"]),
    }
    if "like" in data:
        found["like"] = read_count(data["like"])
    if "kind" in data:
        found["kind"] = str(data["kind"])
    if "given_span" in data:
        found["given_span"] = _place(data["given_span"])
    if "suggested_span" in data:
        found["suggested_span"] = _place(data["suggested_span"])
    return found


def _place(data: SpanPlace) -> SpanPlace:
    start, end = read_count(data["start"]), read_count(data["end"])
    if start >= end:
        raise ValueError(f"a place from {start} to {end}")
    return {"start": start, "end": end, "text": str(data["text"])}


def _still(rows: Sequence[LabelErrorRow], present: Mapping[str, str | None]) -> list[LabelErrorRow]:
    return [row for row in rows if all(present[id_] == version for id_, version in row["annotations"].items())]
