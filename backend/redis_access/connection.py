"""Connections to Redis, the check that it keeps what it acknowledges, and records that come back unreadable."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from hashlib import sha1
from typing import Any, ParamSpec, TypeVar

import redis
from redis.backoff import ConstantBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError

from backend.errors import StoreUnavailable
from backend.outbound.certificates import Trust, explain, find_refusal
from backend.redaction import hide_secrets
from backend.redis_access.address import open_client
from backend.settings.settings import Settings

log = logging.getLogger(__name__)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

Record = TypeVar("Record")
Shape = TypeVar("Shape")

Client = Any
"""A redis.Redis. Its annotations say `bytes | str` everywhere; decode_responses, which settles it, they cannot see."""

UNREADABLE = (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError)
"""What reading a record raises that is cut off, of another type, or of another release."""

RedisError = redis.RedisError
"""What a call that is not guarded raises; other rooms know it by this name."""

REPLY_SECONDS = 5.0
"""How long one reply may take for background processes."""

WEB_SECONDS = 0.8
"""The same for the web process: Label Studio gives up on a webhook after 1 s, and a Redis that hangs must not hold all
threads. What was sent before may be applied all the same: the event counts as missed, and a reconciliation tells."""


def connect(
    settings: Settings,
    *,
    binary: bool = False,
    blocking: bool = False,
    seconds: float = REPLY_SECONDS,
    retries: int = 2,
) -> Client:
    """A client; nothing is sent yet. `binary`: replies as bytes (RQ). `blocking`: reads never time out. `seconds`: how
    long one reply may take."""
    return open_client(
        settings,
        decode_responses=not binary,
        socket_timeout=None if blocking else seconds,
        socket_connect_timeout=0.5,
        # A lost connection is tried again at once, since every script may be applied twice. A Redis that hangs is not:
        # each try would wait as long as the first.
        retry=Retry(ConstantBackoff(0.05), retries, supported_errors=(redis.ConnectionError,)),
        health_check_interval=0,
        client_name="understudy",
    )


def read_all(texts: Iterable[str], make: Callable[[Shape], Record], what: str) -> list[Record]:
    """The records whose JSON `make` can read, in their order. How many it cannot is said in the log: one that is
    damaged or of another release stops nobody who reads the others."""
    found: list[Record] = []
    refused: list[str] = []
    for text in texts:
        try:
            found.append(make(json.loads(text)))
        except UNREADABLE as error:
            refused.append(repr(error)[:200])
    if refused:
        log.warning("%d stored %s cannot be read and are left out: %s", len(refused), what, refused[0])
    return found


def guarded(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Redis errors leave as StoreUnavailable; nothing above the store knows redis."""

    @wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except redis.RedisError as error:
            raise unavailable(error) from error

    return call


def unavailable(error: Exception) -> StoreUnavailable:
    """The error as callers see it. What Redis says holds no label and no secret."""
    said = hide_secrets(_said(error))[:300] or type(error).__name__
    if isinstance(error, redis.exceptions.NoPermissionError):
        said += ". Give the user of REDIS_URL the rights that docs/operations.md lists (ACL SETUSER)"
    return StoreUnavailable(f"Redis: {said}", kind=type(error).__name__)


def _said(error: Exception) -> str:
    if refused := find_refusal(error):
        return ": ".join(explain(refused, "that server", Trust(), "REDIS_CA_FILE"))
    if isinstance(error, MasterNotFoundError):  # its own text shows objects of the library
        named = str(error).partition(" : ")[0]
        return f"{named}: no Sentinel of REDIS_URL answers, or none knows that service"
    return str(error)


@guarded
def find_problems(client: Client) -> list[str]:
    """What in this server's settings could lose an acknowledged label; empty when nothing."""
    wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    client.ping()  # what a user may not do at all, such as naming the connection, is no matter of CONFIG GET
    seen: dict[str, Any] = {}
    try:
        for name in wanted:
            seen.update(client.config_get(name))
    except redis.ResponseError:
        return [f"CONFIG GET is not allowed, so {', '.join(wanted)} cannot be verified"]
    return [f"{name} is {seen.get(name)!r}, not {value!r}" for name, value in wanted.items() if seen.get(name) != value]


def verify(client: Client, settings: Settings) -> list[str]:
    """The problems that were accepted. Raises StoreUnavailable for problems unless ALLOW_UNSAFE_REDIS is set."""
    problems = find_problems(client)
    if problems and not settings.allow_unsafe_redis:
        raise StoreUnavailable(
            f"this Redis could lose labels: {'; '.join(problems)}. Set them with CONFIG SET or in its config file, or "
            "accept the loss with ALLOW_UNSAFE_REDIS=true"
        )
    return problems


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
