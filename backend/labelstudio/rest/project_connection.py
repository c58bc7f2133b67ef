"""How a project of Label Studio names its connection to this backend, and finds it again."""

from __future__ import annotations

from typing import Any

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
