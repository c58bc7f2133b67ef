"""Services on a real store that know where Label Studio is; nobody answers there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from tests.support.rig import choices_config
from tests.support.tiny import settings, tiny_base  # noqa: F401

STUDIO = "http://127.0.0.1:9"


@pytest.fixture
def linked(services: Any) -> Any:
    """With a project 7 of two labels."""
    services.stores.projects.save_config(7, choices_config(["a", "e"]))
    given = {"label_studio_url": STUDIO, "label_studio_api_key": SecretStr("key-of-nobody")}
    return replace(services, settings=services.settings.model_copy(update=given))
