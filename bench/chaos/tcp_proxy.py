"""A TCP proxy that can be told to misbehave: latency, resets, silence, slow closes. For one target on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Awaitable
from types import TracebackType

MODES = ("pass", "latency", "reset", "silence", "slow close")
CHUNK = 65536
SLOW_CLOSE_SECONDS = 1.5


class Proxy:
    """Listens on `port` of the loopback interface and passes on to `target`. Use as a context manager."""

    def __init__(self, target: int, seed: int = 0) -> None:
        self.target, self.port, self.mode, self.latency = target, 0, "pass", 0.0
        self._random = random.Random(seed)
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._started.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def set(self, mode: str, latency: float = 0.0) -> None:
        """`latency`: mean seconds that a chunk of bytes takes, each way; `reset` also breaks what is open."""
        if mode not in MODES:
            raise ValueError(f"mode {mode!r} is none of {MODES}")
        asyncio.run_coroutine_threadsafe(self._set(mode, latency), self._loop).result(10)

    async def _set(self, mode: str, latency: float) -> None:
        self.mode, self.latency = mode, latency
        self._changed.set()
        self._changed = asyncio.Event()
        if mode == "reset":
            for writer in list(self._writers):
                _reset(writer)
        if mode == "slow close":
            self._loop.call_later(SLOW_CLOSE_SECONDS, self._close, list(self._writers))

    @staticmethod
    def _close(writers: list[asyncio.StreamWriter]) -> None:
        for writer in writers:
            writer.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.01)  # the transports close their sockets in the loop's next turns

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == "reset":
            return _reset(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            return _reset(writer)
        ours = {writer, far_writer}
        self._writers |= ours
        try:
            await _first(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            self._writers -= ours
            for one in ours:
                one.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                while self.mode == "silence":
                    await self._changed.wait()
                if self.mode == "latency":
                    await asyncio.sleep(self._random.uniform(0, 2 * self.latency))
                writer.write(data)
                await writer.drain()


async def _first(*pumps: Awaitable[None]) -> None:
    """Until one of the two directions has ended."""
    tasks = [asyncio.ensure_future(pump) for pump in pumps]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Closes with an RST, not a FIN."""
    own = writer.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
