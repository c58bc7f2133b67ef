"""The endpoints of NOTIFY_URL, and the keys of what waits for each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlsplit

from backend.redis_access.keys import OUTBOX
from backend.settings.settings import Settings


@dataclass(frozen=True)
class Endpoint:
    """`url` may hold a secret in its path; `name` is what people are shown: the host, with a number where there are
    several of one."""

    url: str
    name: str

    @property
    def keys(self) -> tuple[str, str, str]:
        """ZSET of events by when they are due, HASH of their bodies, HASH of how it fares."""
        digest = sha256(self.url.encode()).hexdigest()[:16]
        return f"{OUTBOX}{digest}", f"{OUTBOX}{digest}:events", f"{OUTBOX}{digest}:state"


def endpoints_of(settings: Settings) -> list[Endpoint]:
    """In the order of NOTIFY_URL; none when nobody is told anything."""
    found: list[Endpoint] = []
    for url in dict.fromkeys(re.split(r"[,\s]+", settings.notify_url)):
        if url:
            host = urlsplit(url).netloc
            same = sum(one.name.partition("#")[0] == host for one in found)
            found.append(Endpoint(url, f"{host}#{same + 1}" if same else host))
    return found


def outbox_keys(endpoints: Sequence[Endpoint]) -> list[str]:
    """For a script that tells (tell.lua)."""
    return [key for endpoint in endpoints for key in endpoint.keys]
