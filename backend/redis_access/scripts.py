"""Lua scripts, sent so that one that only reads writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from typing import Any

from redis.exceptions import NoScriptError

from backend.redis_access.connection import Client


class Script:
    """A script that is sent by its digest, and in full when the server does not know it (its first use, a restart).

    Not redis-py's, which loads an unknown one first: Redis 6.2 writes SCRIPT LOAD to its append-only file, so that on a
    full disk the first one to *read* ended the server."""

    def __init__(self, client: Client, text: str) -> None:
        self._redis, self._text = client, text
        self._digest = sha1(text.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        """What the script returns."""
        try:
            return self._redis.evalsha(self._digest, len(keys), *keys, *args)
        except NoScriptError:
            return self._redis.eval(self._text, len(keys), *keys, *args)
