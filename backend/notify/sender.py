"""One attempt to deliver an event: a POST with a time limit that follows no redirect and reads no body."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from backend.errors import SettingsError
from backend.notify.signature import sign
from backend.outbound.clients import OTHER_CA, open_httpx, refusal
from backend.outbound.cut_off import CutOff
from backend.outbound.proxies import proxy_for
from backend.settings.settings import Settings

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
"""Without a sign."""

WHOLE_SECONDS = 15.0
"""Of one attempt, however slowly the answer trickles."""

LONGEST_PAUSE_SECONDS = 3600.0
"""That an endpoint may ask for with Retry-After."""


@dataclass(frozen=True)
class Answer:
    """`status`: None when none came; `said`: what is wrong, "" for nothing; `pause`: seconds that it asks for."""

    status: int | None
    said: str = ""
    pause: float = 0.0

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """It wants no more."""
        return self.status == 410

    @property
    def is_refusal(self) -> bool:
        """The same request will hardly do better soon: something must be mended first."""
        return self.status is not None and 300 <= self.status < 500 and self.status not in (408, 425, 429)


def send(settings: Settings, url: str, id: str, body: str, limit: float = WHOLE_SECONDS) -> Answer:
    """POST an event; never raises for what the endpoint does."""
    import httpx2

    headers = {
        "Content-Type": "application/json",
        **sign(settings.notify_secret.get_secret_value(), id, int(time.time()), body),
    }
    timeout = httpx2.Timeout(min(ANSWER_SECONDS, limit), connect=min(CONNECT_SECONDS, limit))
    try:
        with (
            open_httpx(url, "", timeout=timeout, headers={"User-Agent": "understudy"}) as client,
            CutOff().within(limit) as trace,
            client.stream("POST", url, content=body.encode(), headers=headers, extensions={"trace": trace}) as reply,
        ):
            return _read(reply.status_code, reply.headers)
    except SettingsError as error:  # a proxy or a file of authorities
        return Answer(None, error.message)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError) as error:
        return Answer(None, _explain(error, url))


def _read(status: int, headers: Mapping[str, str]) -> Answer:
    if 200 <= status < 300:
        return Answer(status)
    pause = 0.0
    with suppress(ValueError):  # a date is not read: the usual wait will do
        pause = min(max(float(headers.get("retry-after", "0")), 0.0), LONGEST_PAUSE_SECONDS)
    moved = ": it redirects, which is not followed: set NOTIFY_URL to where it leads" if 300 <= status < 400 else ""
    return Answer(status, f"it answers {status}{moved}", pause)


def _explain(error: Exception, url: str) -> str:
    if told := refusal(error, url, setting=OTHER_CA):
        return ": ".join(told)
    proxy = proxy_for(url)
    way = f" through the proxy {proxy.shown}" if proxy else ""
    return f"no answer{way}: {type(error).__name__} {error}".strip()
