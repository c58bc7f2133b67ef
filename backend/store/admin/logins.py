"""Logins to the model page: sessions that were ended, and links that log in once."""

from __future__ import annotations

import secrets
from hashlib import sha256

from backend.redis_access.connection import Client, guarded
from backend.redis_access.keys import LOGIN_LINKS, LOGINS_ENDED

LINK_SECONDS = 60
"""How long a login link is good for."""


class LoginStore:
    """All methods raise StoreUnavailable when Redis does not answer or refuses."""

    def __init__(self, client: Client) -> None:
        self._redis = client

    @guarded
    def end(self, session: str, seconds: float) -> None:
        """The session is over, for every web process; kept for the `seconds` in which its cookie could still be
        shown."""
        self._redis.set(f"{LOGINS_ENDED}{session}", "1", ex=max(1, int(seconds) + 1))

    @guarded
    def is_ended(self, session: str) -> bool:
        return bool(self._redis.exists(f"{LOGINS_ENDED}{session}"))

    @guarded
    def create_link(self) -> str:
        """A code that logs in once, within LINK_SECONDS. Only its digest is stored."""
        code = secrets.token_urlsafe(32)
        self._redis.set(_link_key(code), "1", ex=LINK_SECONDS)
        return code

    @guarded
    def use_link(self, code: str) -> bool:
        """Whether the code was good; it is not any more."""
        return bool(self._redis.delete(_link_key(code)))


def _link_key(code: str) -> str:
    return f"{LOGIN_LINKS}{sha256(code.encode('utf-8', 'backslashreplace')).hexdigest()}"
