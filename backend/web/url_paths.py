"""Paths as people type them into Label Studio: with a slash at the end, with two in between, under a sub path.

They are put right before the routes see them. A redirect would not do: Label Studio follows none with a POST's body.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, RequestRedirect

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SLASHES = re.compile(r"/{2,}")


class TidyPaths:
    """WSGI in front of the application. `prefix`: the path of PUBLIC_URL, which a proxy may take off or leave on."""

    def __init__(self, application: WSGIApplication, routes: Map, prefix: str = "") -> None:
        self._application, self._prefix = application, tidy_path(prefix).rstrip("/")
        self._routes = routes.bind("")

    def __call__(self, request: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers with the path put right."""
        path = tidy_path(request.get("PATH_INFO", ""))
        inner = path.removeprefix(self._prefix) or "/"
        under = self._prefix and (path == self._prefix or path.startswith(f"{self._prefix}/"))
        if under and not self._leads_somewhere(path) and self._leads_somewhere(inner):
            path = inner
        request["PATH_INFO"] = path
        return self._application(request, start_response)

    def _leads_somewhere(self, path: str) -> bool:
        try:
            self._routes.match(path)
        except (NotFound, RequestRedirect):
            return False
        except MethodNotAllowed:
            return True
        return True


def tidy_path(path: str) -> str:
    """`path` with single slashes, one at the start and none at the end."""
    return SLASHES.sub("/", f"/{path}").rstrip("/") or "/"


def prefix_of(url: str) -> str:
    """The path of a URL, as the server sees paths: decoded, each byte a character."""
    return unquote(urlsplit(url).path).encode().decode("latin-1")
