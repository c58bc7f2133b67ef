"""The tabs of Label Studio's Data Manager, which all users of a project share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.labelstudio.rest.client import Json, LabelStudioClient

SELECTION = "selectedItems"
"""Shown with a tab's data, and not part of what is written back."""


class TabsClient(LabelStudioClient):
    """Every method raises LabelStudioError."""

    def tabs(self, project: int) -> list[Json]:
        """id and `data` (title, filters, ordering, …), from left to right: a link that names none opens the first."""
        return self._list("GET", "api/dm/views/", params={"project": project})

    def create_tab(self, project: int, data: Mapping[str, Any]) -> Json:
        """A tab that every user of the project sees."""
        return self._object("POST", "api/dm/views/", {"project": project, "data": dict(data)})

    def order_tab(self, project: int, tab: Mapping[str, Any], ordering: list[str]) -> Json:
        """Give a tab, as `tabs` has it, another order. All of its data is sent, since Label Studio replaces it; an
        empty order would change nothing."""
        data = {name: value for name, value in dict(tab["data"]).items() if name != SELECTION}
        body = {"project": project, "data": {**data, "ordering": ordering}}
        return self._object("PATCH", f"api/dm/views/{int(tab['id'])}/", body)

    def delete_tab(self, tab: int) -> None:
        """Remove a tab; its tasks stay."""
        self._transport.call("DELETE", f"api/dm/views/{tab}/")
