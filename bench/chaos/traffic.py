"""Who uses the product meanwhile: people who label, clients who ask for predictions, and the roads between.

Label Studio tells of each change once, with one second of patience and no retry. A road is a TCP proxy that can be told
to misbehave: latency, resets, silence, slow closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any

from bench.chaos.checker import History
from bench.support.load import Workers, exchange
from tests.support.label_studio_stub import Change, ReferenceModel, Task
from tests.support.project_kinds import SKIPPED, ProjectKind, Row
from tests.support.reply_rules import find_faults

WEBHOOK_TIMEOUT_SECONDS = 1.0
"""WEBHOOK_TIMEOUT of Label Studio."""

ANNOTATIONS_KEPT = 400
"""Annotations a project: beyond that more are deleted than made, so that half an hour is not about size."""

WRONG_SHARE = 0.2
"""Share of corrections that are none: with more of them no fine-tune would ever be accepted."""

NEWEST_SHARE = 0.4
"""Share of changes to one of the newest annotations."""

ACTIONS = {"create": 42, "bulk": 4, "update": 26, "skip": 4, "delete": 13, "delete tasks": 7, "train": 0.4}
SPOILT = {"lost": 0.01, "late": 0.15, "twice": 0.04}
"""Shares of deliveries that never leave, that leave up to 1.5 s late (and so in another order), that arrive twice."""

TASKS_PER_REQUEST = 4
"""Tasks a request: more than one, so that a reply could mix versions if the code allowed it."""

CONTENTS = 400
"""Of each project, that are asked about: the first ones, so that many were labelled meanwhile."""

MARK_SHARE = 0.15
"""Share of the requests about marked text that tell of one region that was just drawn, as Auto-Annotation does."""

MODES = ("pass", "latency", "reset", "silence", "slow close")
CHUNK_BYTES = 65536
SLOW_CLOSE_SECONDS = 1.5

JSON = {"Content-Type": "application/json"}


class Annotators(Workers):
    """Changes the truth `rate` times a second and delivers each change to `port`."""

    def __init__(
        self,
        truth: ReferenceModel,
        history: History,
        port: int,
        secret: str,
        rate: float,
        seed: int,
    ) -> None:
        super().__init__(self._run)
        self._truth, self._history = truth, history
        self._rows = {project: kind.rows() for project, kind in truth.kinds.items()}
        self._port, self._secret, self._rate = port, secret, rate
        self._random = random.Random(seed)
        self._senders = ThreadPoolExecutor(48)
        self._number = 0

    def start(self) -> None:
        """Begin with 60 annotations in each project."""
        for project in self._truth.tasks:
            self._deliver(self._truth.create(project, list(itertools.islice(self._rows[project], 60))))
        super().start()

    def stop(self) -> None:
        """Returns when the last event is delivered, or was refused."""
        super().stop()
        self._senders.shutdown(wait=True)

    def _run(self) -> None:
        due = time.monotonic()
        while not self.stopping.is_set():
            self._deliver(self._next_change())
            due += self._random.expovariate(self._rate)
            self.stopping.wait(max(0.0, due - time.monotonic()))

    def _next_change(self) -> Change:
        project = self._random.choice(list(self._truth.tasks))
        annotated = self._truth.annotated(project)
        action = self._random.choices(list(ACTIONS), list(ACTIONS.values()))[0]
        if len(annotated) > ANNOTATIONS_KEPT and action in ("create", "bulk"):
            action = "delete"
        if action == "create" or len(annotated) < 40:
            return self._truth.create(project, [next(self._rows[project])])
        if action == "bulk":
            rows = itertools.islice(self._rows[project], self._random.randint(5, 40))
            return self._truth.create(project, list(rows))
        if action == "train":
            return self._truth.train(project)
        # Some of the newest: their first event may still be under way.
        among = annotated[-8:] if self._random.random() < NEWEST_SHARE else annotated
        return self._change(action, self._random.sample(among, self._random.choice((1, 1, 1, 2, 5))))

    def _change(self, action: str, tasks: list[Task]) -> Change:
        if action == "delete":
            return self._truth.delete(tasks)
        if action == "delete tasks":
            return self._truth.delete_tasks(tasks)
        if action == "skip":
            return self._truth.update(tasks[0], SKIPPED)
        first, answer = tasks[0], tasks[0].answer
        if self._random.random() < WRONG_SHARE:
            answer = self._truth.kinds[first.project].wrong(self._random, first.content, answer)
        return self._truth.update(first, answer)

    def _deliver(self, change: Change) -> None:
        """What becomes of it is decided here; the senders only carry it out."""
        self._number += 1
        fate = self._random.random()
        late = self._random.uniform(0.05, 1.5)
        facts = {"sets": change.sets, "gone": change.gone, "project": change.project, "action": change.action}
        self._history.note("change", n=self._number, t=change.at, **facts)
        if fate < SPOILT["lost"]:
            return
        delay = late if fate < SPOILT["lost"] + SPOILT["late"] else 0.0
        self._senders.submit(self._send, self._number, change, delay)
        if fate > 1 - SPOILT["twice"]:
            self._senders.submit(self._send, self._number, change, late)

    def _send(self, number: int, change: Change, delay: float) -> None:
        time.sleep(delay)
        began = time.time()
        headers = {**JSON, "X-Webhook-Secret": self._secret}
        status, reply = exchange(
            self._port, "POST", "/webhook", json.dumps(change.body).encode(), headers, timeout=WEBHOOK_TIMEOUT_SECONDS
        )
        said = "" if 200 <= status < 300 else reply[:300].decode(errors="replace")
        self._history.note("event", n=number, t0=round(began, 4), status=status, said=said)


class PredictClients(Workers):
    """`clients` threads on /predict, each `rate` times a second, and one on /ready."""

    def __init__(
        self,
        truth: ReferenceModel,
        history: History,
        port: int,
        rate: float,
        clients: int,
    ) -> None:
        super().__init__(*(partial(self._ask, number) for number in range(clients)), self._watch)
        self._history, self._port, self._rate = history, port, rate
        self._rows = {number: list(itertools.islice(kind.rows(), CONTENTS)) for number, kind in truth.kinds.items()}
        self._kinds = dict(truth.kinds)

    def _ask(self, seed: int) -> None:
        chance = random.Random(seed)
        while not self.stopping.wait(chance.expovariate(self._rate)):
            project = chance.choice(list(self._rows))
            kind = self._kinds[project]
            rows = chance.sample(self._rows[project], TASKS_PER_REQUEST)
            context = None
            if drawn := _first_region(kind, rows) if chance.random() < MARK_SHARE else None:
                rows, context = rows[:1], {"result": [drawn]}
            tasks = [
                {"id": 10**9 + seed * 10**6 + index, "data": kind.data(content)}
                for index, (content, _) in enumerate(rows)
            ]
            body: dict[str, Any] = {"tasks": tasks, "project": f"{project}.1795455205", "label_config": kind.config}
            if context:
                body["params"] = {"context": context}
            began = time.time()
            status, reply = exchange(self._port, "POST", "/predict", json.dumps(body).encode(), JSON)
            told = summary(status, reply, kind, tasks)
            self._history.note("predict", t0=round(began, 4), project=project, status=status, **told)

    def _watch(self) -> None:
        last, noted = 0, 0.0
        while not self.stopping.wait(0.15):
            began = time.time()
            status, _ = exchange(self._port, "GET", "/ready", b"", {}, timeout=2.0)
            if status != last or began - noted > 1.0:
                last, noted = status, began
                self._history.note("ready", t0=round(began, 4), status=status)


def _first_region(kind: ProjectKind, rows: Sequence[Row]) -> Mapping[str, Any] | None:
    """What is drawn first in the first of these tasks; None where nothing is."""
    result = kind.result(*rows[0])
    return result[0] if result and result[0]["type"] == "labels" else None


def summary(status: int, reply: bytes, kind: ProjectKind, tasks: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """What the checker wants to know of a reply: `top` and `versions` it names, how many tasks it answered, how many
    results that were, and which of them the label config does not allow."""
    if status != 200:
        return {"said": reply[:300].decode(errors="replace")}
    found = json.loads(reply)
    results = found["results"]
    versions = sorted({str(item["model_version"]) for item in results if item})
    pairs = [(task["data"], item["result"]) for task, item in zip(tasks, results, strict=True) if item]
    return {
        "top": found.get("model_version"),
        "versions": versions,
        "asked": len(tasks),
        "answered": sum(map(bool, results)),
        "found": sum(len(result) for _, result in pairs),
        "faults": [fault for data, result in pairs for fault in find_faults(kind.config, data, result)],
    }


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
            while data := await reader.read(CHUNK_BYTES):
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
