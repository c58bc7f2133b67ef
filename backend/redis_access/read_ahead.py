"""A client that asks in one go for what the same reader asked for last time: forty round trips become one or two."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import NamedTuple

import redis

from backend.redis_access.connection import Client, guarded

READS = frozenset(
    [
        "EXISTS",
        "GET",
        "HGET",
        "HGETALL",
        "HKEYS",
        "HLEN",
        "HMGET",
        "HVALS",
        "LINDEX",
        "LLEN",
        "LRANGE",
        "MGET",
        "SCARD",
        "SISMEMBER",
        "SMEMBERS",
        "TTL",
        "ZCARD",
        "ZCOUNT",
        "ZRANGE",
        "ZSCORE",
    ]
)
"""Commands that change nothing."""

READERS_KEPT = 64
COMMANDS_KEPT = 100
"""Of one reader: what it asks for beyond that is asked for one by one."""

LARGE_REPLY = 500
"""Entries from which a reply is not asked for ahead: it may have been wanted once only."""

Command = tuple[Hashable, ...]


class _Asked(NamedTuple):
    """A command with the options that tell redis-py how to read its reply."""

    arguments: tuple[object, ...]
    options: dict[str, object]


class _Reading:
    """What one reader has been answered, and what it has asked for."""

    def __init__(self, replies: dict[Command, object]) -> None:
        self.replies, self.asked = replies, dict[Command, _Asked]()


class _Mine(threading.local):
    """Of each thread: what it reads now."""

    reading: _Reading | None = None


class ReadAhead(redis.Redis):
    """A client over the connections of another one. Amid `reading` each command is sent once; otherwise it is a plain
    one. `pause`: called before anything is sent."""

    def __init__(self, client: Client, pause: Callable[[], None] = lambda: None) -> None:
        super().__init__(connection_pool=client.connection_pool)
        self._pause = pause
        self._mine = _Mine()
        self._known: OrderedDict[Hashable, list[_Asked]] = OrderedDict()
        self._guard = threading.Lock()

    @contextmanager
    def reading(self, reader: Hashable) -> Iterator[None]:
        """What this thread reads until the end is of one moment, more or less: a value that was read is not read again.
        Asks first for what `reader` asked for last time. Raises StoreUnavailable."""
        with self._guard:
            known = self._known.get(reader, [])
        self._mine.reading = reading = _Reading(self._fetch(known))
        try:
            yield
        finally:
            self._mine.reading = None
            with self._guard:
                self._known[reader] = list(reading.asked.values())[:COMMANDS_KEPT]
                self._known.move_to_end(reader)
                while len(self._known) > READERS_KEPT:
                    self._known.popitem(last=False)

    def execute_command(self, *arguments: object, **options: object) -> object:
        """As of any client."""
        reading = self._mine.reading
        if reading is None or arguments[0] not in READS:
            self._pause()
            return super().execute_command(*arguments, **options)
        command = _flat(arguments)
        if command not in reading.replies:
            self._pause()
            reading.replies[command] = super().execute_command(*arguments, **options)
        reply = reading.replies[command]
        if isinstance(reply, Exception):
            raise reply
        if not (isinstance(reply, list | dict | set) and len(reply) >= LARGE_REPLY):
            reading.asked[command] = _Asked(arguments, options)
        return copy(reply)  # whoever changes what it was given changes it for itself

    @guarded
    def _fetch(self, known: list[_Asked]) -> dict[Command, object]:
        if not known:
            return {}
        self._pause()
        pipeline = self.pipeline(transaction=False)
        for one in known:
            pipeline.execute_command(*one.arguments, **one.options)
        replies = pipeline.execute(raise_on_error=False)
        return {_flat(one.arguments): reply for one, reply in zip(known, replies, strict=True)}


def _flat(arguments: tuple[object, ...]) -> Command:
    """A command as a key: redis-py passes some names as lists."""
    return tuple(tuple(one) if isinstance(one, list) else one for one in arguments)
