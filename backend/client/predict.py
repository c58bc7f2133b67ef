"""Asks the web process for predictions as Label Studio does, over HTTP: so that engine, micro-batches, caches and
admission control are the ones that annotators get, and whoever asks for many waits while they are served."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Union

from backend.client.admin import local_url
from backend.errors import BackendError, SettingsError
from backend.redaction import hide_secrets
from backend.settings.settings import Settings
from model.spec import Json, JsonObject

if TYPE_CHECKING:
    import requests

    from backend.labelstudio.results import PredictionJson

Item = Union["PredictionJson", list[Json]]
"""The answer to a task; `[]` where there is none."""

REQUEST_TASKS = 200
"""Tasks of one /predict: some seconds of one core, between which others get their turn."""

SPARE_SECONDS = 20.0
"""What a reply may take beyond PREDICT_DEADLINE."""

LONGEST_PAUSE = 10.0

BUSY_STATUSES = frozenset({429, 503})

TOO_LARGE = 413


class PredictError(BackendError):
    """/predict did not answer. In the evidence `passing` (it may a moment later) and `status`, if any."""

    code = "predict_error"
    status = 503


class PredictClient:
    """One web process, kept connected. Raises PredictError. `pause`: how to wait, in seconds; raises to give up."""

    def __init__(
        self, settings: Settings, url: str = "", *, patience: float = 300.0, pause: Callable[[float], None] = time.sleep
    ) -> None:
        """`patience`: seconds for which a busy process is asked again."""
        # PUBLIC_URL may only work from outside, HOST and PORT only on the machine of the web process.
        self.urls = [url.rstrip("/")] if url else list(dict.fromkeys([settings.url, local_url(settings)]))
        self._patience, self._pause = patience, pause
        self.reasons: dict[str, int] = {}
        """Why tasks were declined, in words that go after a number -> how many so far."""
        self._seconds = settings.predict_deadline + SPARE_SECONDS
        self._settings = settings
        self._sessions: dict[str, requests.Session] = {}

    def __enter__(self) -> PredictClient:
        return self

    def __exit__(self, *error: object) -> None:
        for session in self._sessions.values():
            session.close()

    def predict(self, project: int, tasks: Sequence[JsonObject]) -> tuple[list[Item], str]:
        """(one item for each task, `[]` where it is declined; the version that answered all of them)."""
        body: JsonObject = {
            "tasks": list(tasks),
            "project": str(project),
            "params": {"reasons": True},
            "say_blind": False,
            "whole": True,
        }
        until = time.monotonic() + self._patience
        while True:
            reply = self._post(body)
            if reply.status_code == TOO_LARGE and len(tasks) > 1:
                return self._in_halves(project, tasks)
            if reply.status_code not in BUSY_STATUSES or time.monotonic() > until:
                items, version, declined = _read(reply, len(tasks))
                for words, count in declined.items():
                    self.reasons[str(words)] = self.reasons.get(str(words), 0) + int(count)
                return items, version
            self._pause(_seconds_of(reply))

    def _in_halves(self, project: int, tasks: Sequence[JsonObject]) -> tuple[list[Item], str]:
        """Mails with pictures inside are megabytes each: fewer of them are asked for at a time."""
        middle = len(tasks) // 2
        first, before = self.predict(project, tasks[:middle])
        second, version = self.predict(project, tasks[middle:])
        if before != version:  # a new version came in between
            first, _ = self.predict(project, tasks[:middle])
        return [*first, *second], version

    def _post(self, body: JsonObject) -> requests.Response:
        """The first address that is there wins, and is kept."""
        import requests

        from backend.outbound.clients import failure, route_of

        failures = []
        for url in list(self.urls):
            try:
                reply = self._session(url).post(f"{url}/predict", json=body, timeout=(5.0, self._seconds))
            except SettingsError as error:
                failures.append(error.message)
                continue
            except requests.ConnectionError as error:
                why = failure(error, url, route_of(self._settings, url))
                failures.append(why or hide_secrets(f"{url}: {error}"))
                continue
            except requests.RequestException as error:
                raise PredictError(f"{url} did not answer: {error}", passing=True) from error
            self.urls = [url]
            return reply
        raise PredictError(f"no web process answers: {'; '.join(failures)[:300]}", passing=True)

    def _session(self, url: str) -> requests.Session:
        from backend.outbound.clients import open_session

        if url not in self._sessions:
            self._sessions[url] = open_session(self._settings, url)
            self._sessions[url].auth = self._settings.basic_auth
        return self._sessions[url]


def _seconds_of(reply: requests.Response) -> float:
    """What Retry-After asks for, within reason."""
    said = reply.headers.get("Retry-After", "")
    return min(max(float(said) if said.isdigit() else 1.0, 0.2), LONGEST_PAUSE)


def _read(reply: requests.Response, count: int) -> tuple[list[Item], str, dict[str, int]]:
    try:
        body = reply.json()
    except ValueError:
        body = {}
    body = body if isinstance(body, dict) else {}
    if not reply.ok:
        said = body.get("message") or body.get("error") or reply.reason
        passing = reply.status_code in BUSY_STATUSES or reply.status_code >= 500
        raise PredictError(f"/predict answers {reply.status_code}: {said}", passing=passing, status=reply.status_code)
    items, version = body.get("results"), body.get("model_version")
    if not isinstance(items, list) or len(items) != count or not isinstance(version, str):
        raise PredictError(f"{reply.url} does not answer as understudy does", passing=False)
    declined = body.get("declined")
    return items, version, declined if isinstance(declined, dict) else {}
