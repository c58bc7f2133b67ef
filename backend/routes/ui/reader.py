"""What pages read: the stores of the web process, over a client that asks in one go and lets predictions go first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from flask import current_app, g, request

from backend.application.services import EVIDENCE_PROJECTS_KEPT, Services
from backend.redis_access.connection import WEB_SECONDS
from backend.redis_access.read_ahead import ReadAhead
from backend.serving.patience import Patience
from backend.store.stores import Stores
from backend.web.payloads import services

Data = TypeVar("Data")


class Reader:
    """Of one web process."""

    def __init__(self, wired: Services) -> None:
        self._client = ReadAhead(wired.stores.client, give_way)
        stores = Stores(wired.settings, WEB_SECONDS, self._client)
        stores.evidence.keeps = EVIDENCE_PROJECTS_KEPT
        self._services = replace(wired, stores=stores)

    def read(self, view: Callable[[Services], Data]) -> Data:
        """What a view says at the address of this request."""
        with self._client.reading((request.path, request.query_string)):
            return view(self._services)


def read(view: Callable[[Services], Data]) -> Data:
    """What a view says now."""
    reader: Reader | None = current_app.extensions.get("understudy_reader")
    if reader is None:
        reader = current_app.extensions.setdefault("understudy_reader", Reader(services()))
    return reader.read(view)


def give_way() -> None:
    """Let predictions go first, for as long as this request may wait."""
    patience: Patience | None = g.get("patience")
    if patience is None:
        patience = g.patience = Patience(services().admission)
    patience.give_way()
