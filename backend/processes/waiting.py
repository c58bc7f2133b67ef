"""A web process that has never seen the installation's secrets, while Redis, which holds them, is away.

It listens, so that whoever probes it knows that it lives and why it is not ready. Nothing else is answered: as long as
no secret is known nobody can show one. When Redis comes it goes on by itself.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from backend.errors import StoreUnavailable
from backend.redis_access.shared_secrets import wait_for_secrets
from backend.settings.settings import Settings
from backend.web.url_paths import prefix_of, tidy_path

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

REASON = "waiting for Redis, which holds the secrets of this installation"

AGAIN_SECONDS = 5
"""After which a client that was refused may come again."""

CANNOT_START = 3
"""gunicorn's exit status of a worker whose application cannot be made: it is not started again in a loop."""

ANSWERS: dict[str, tuple[str, dict[str, object]]] = {
    "/health": ("200 OK", {"status": "UP", "model_class": "understudy", "ready": False}),
    "/ready": ("503 Service Unavailable", {"ready": False, "error": StoreUnavailable.code, "reason": REASON}),
}
"""Of GET and HEAD, by path; the same words whoever asks, and whatever else the request says."""

REFUSAL = ("503 Service Unavailable", {"error": StoreUnavailable.code, "message": f"this process is {REASON}"})


class Waiting:
    """A WSGI application. `make` makes the one that takes its place; what it raises ends the process."""

    def __init__(self, settings: Settings, make: Callable[[], WSGIApplication]) -> None:
        self._settings, self._make = settings, make
        self._prefix = tidy_path(prefix_of(settings.url)).rstrip("/")
        self._application: WSGIApplication | None = None

    def start(self) -> None:
        """Wait on a thread of its own."""
        threading.Thread(target=self._wait, name="secrets", daemon=True).start()

    def __call__(self, request: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers as the application once there is one."""
        if self._application is not None:
            return self._application(request, start_response)
        return self._answer(request, start_response)

    def _answer(self, request: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        from backend.routes.app import REPLY_HEADERS

        asks = request.get("REQUEST_METHOD") in ("GET", "HEAD")
        path = tidy_path(request.get("PATH_INFO", ""))
        status, body = ANSWERS.get(path.removeprefix(self._prefix) or "/", REFUSAL) if asks else REFUSAL
        data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(data)), **REPLY_HEADERS}
        if status.startswith("503"):
            headers["Retry-After"] = str(AGAIN_SECONDS)
        start_response(status, list(headers.items()))
        return [] if request.get("REQUEST_METHOD") == "HEAD" else [data]

    def _wait(self) -> None:
        try:
            wait_for_secrets(self._settings)
            self._application = self._make()
        except SystemExit as stop:  # what is wrong has been said
            os._exit(stop.code if isinstance(stop.code, int) else CANNOT_START)
        except BaseException:
            log.exception("the web process cannot start")
            os._exit(CANNOT_START)
