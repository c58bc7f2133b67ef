"""A browser that is logged in to the model page, on a tiny encoder."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.tiny import settings, tiny_base  # noqa: F401

TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


def log_in(client: Any, token: str = "admin", **fields: str) -> Any:
    """The reply to the login form, filled in."""
    form = client.get("/ui/login")
    field = TOKEN.search(form.text)
    assert field, form.text
    return client.post("/ui/login", data={"csrf_token": field[1], "token": token, **fields})


@pytest.fixture
def browser(client: Any) -> Any:
    """A client with the cookie of a session."""
    assert log_in(client).status_code == 303
    return client


@pytest.fixture
def csrf(browser: Any) -> str:
    """What its forms carry."""
    found = TOKEN.search(browser.get("/ui").text)
    assert found
    return found[1]
