"""How a project of Label Studio names its connection to this backend, and finds it again."""

from __future__ import annotations

from typing import Any

from backend.settings.settings import Settings

TITLE = "understudy"
"""Name of the backend in Label Studio unless --title says otherwise."""

SAMPLING = "Uncertainty sampling"
"""Label Studio's own word for least confident first."""

SECRET_HEADER = "X-Webhook-Secret"


def own_backend(backends: list[dict[str, Any]], url: str, title: str | None) -> dict[str, Any] | None:
    """The connection to this backend: the one with its URL, else (its URL has changed) the one with its title."""
    by_url = [backend for backend in backends if str(backend.get("url", "")).rstrip("/") == url]
    by_title = [backend for backend in backends if backend.get("title") == (title or TITLE)]
    return next(iter(by_url or by_title), None)


def basic_auth_of(settings: Settings) -> tuple[str, str] | None:
    """(user, password) that Label Studio is to send; None when basic auth is off."""
    user = settings.basic_auth_user
    return (user, settings.basic_auth_pass.get_secret_value()) if user else None
