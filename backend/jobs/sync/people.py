"""Fetches what annotators are called, for the page that names them."""

from __future__ import annotations

import logging

from backend.errors import LabelStudioError
from backend.labelstudio.rest.client import LabelStudioClient
from backend.settings.settings import Settings
from backend.store.stores import Stores

log = logging.getLogger(__name__)

ASKED_SECONDS = 600
"""How often Label Studio is asked for all its users, however many projects are reconciled."""


def fetch_people(settings: Settings, stores: Stores, client: LabelStudioClient) -> None:
    """Nothing depends on it: a Label Studio that does not tell them leaves numbers. With UI_PEOPLE off none are
    kept."""
    if not settings.ui_people:
        stores.people.forget()
        return
    if not stores.people.claim(ASKED_SECONDS):
        return
    try:
        stores.people.replace(client.people())
    except LabelStudioError as error:
        log.info("names of annotators: Label Studio does not tell them (%s)", error.evidence.get("status"))
