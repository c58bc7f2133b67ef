"""The tabs of Label Studio's Data Manager, which all users of a project share."""

from __future__ import annotations

from collections.abc import Mapping

from backend.labelstudio.rest.transport import Json, Transport

SELECTION = "selectedItems"
"""Shown with a tab's data, and not part of what is written back."""


class Tabs:
    """Every method raises LabelStudioError."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def of(self, project: int) -> list[Json]:
        """id and `data` (title, filters, ordering, …), from left to right: a link that names none opens the first."""
        return self._transport.call_list("api/dm/views/", {"project": project})

    def create(self, project: int, data: Mapping[str, object]) -> Json:
        """A tab that every user of the project sees."""
        return self._transport.call_object("POST", "api/dm/views/", {"project": project, "data": dict(data)})

    def order(self, project: int, tab: Json, ordering: list[str]) -> Json:
        """Give a tab, as `of` has it, another order. All of its data is sent, since Label Studio replaces it; an empty
        order would change nothing."""
        data = {name: value for name, value in dict(tab["data"]).items() if name != SELECTION}
        body = {"project": project, "data": {**data, "ordering": ordering}}
        return self._transport.call_object("PATCH", f"api/dm/views/{int(tab['id'])}/", body)

    def delete(self, tab: int) -> None:
        """Remove a tab; its tasks stay."""
        self._transport.call("DELETE", f"api/dm/views/{tab}/")
