"""The tabs of a project's Data Manager, by the rules of Label Studio 1.23.2, seen in tests/e2e/test_label_stream.py."""

from __future__ import annotations

import copy
from typing import Any

PATH = "/api/dm/views"


class Tabs:
    """`rows`: what the API lists, from left to right."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._last = 0

    def add(self, **data: Any) -> dict[str, Any]:
        """One tab more."""
        self._last += 1
        self.rows.append({"id": self._last, "data": copy.deepcopy(data), "order": 0, "user": 1, "project": 1})
        return self.rows[-1]

    def order(self, tab: int) -> Any:
        """The order of a tab by id; None for none."""
        return next(row["data"].get("ordering") for row in self.rows if row["id"] == tab)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """One call to PATH or below."""
        number = path.removeprefix(PATH).strip("/")
        if method == "GET":
            return 200, copy.deepcopy(self.rows)
        if method == "POST":
            return 201, copy.deepcopy(self.add(**body["data"]))
        found = [row for row in self.rows if str(row["id"]) == number]
        if not found:
            return 404, {"detail": "Not found."}
        if method == "DELETE":
            self.rows.remove(found[0])
            return 204, None
        self.change(found[0], body["data"])
        return 200, copy.deepcopy(found[0])

    @staticmethod
    def change(row: dict[str, Any], data: dict[str, Any]) -> None:
        """All of the data is replaced, but an empty order is passed over."""
        ordering = data.get("ordering") or row["data"].get("ordering")
        row["data"] = {**copy.deepcopy(data), "ordering": ordering} if ordering else copy.deepcopy(data)
