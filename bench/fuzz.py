"""Hostile requests against the application: changed recordings of Label Studio, damaged bytes, paths, queries, headers.

    python -m bench.fuzz [--cases 100000] [--seed 1] [--minutes 0] [--json]
    python -m bench.fuzz --spans [--cases 10000] [--json]

Everything is real but the socket: the WSGI application, its models (the packaged MiniLM) and a Redis of its own, which
writes no log, since what is looked for here is no loss but an answer of 5xx, an exception, or none within 10 seconds.
Every case can be made again from the seed and its number; those that fail are printed with it. `--spans`: annotations,
tasks, marks and label configs of marked text; no region that would harm the page may be in a reply either.
"""

from __future__ import annotations

import base64
import copy
import json
import logging
import random
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.application.services import Services, build_services
from backend.embedded_redis.binary import find_redis_server
from backend.embedded_redis.server import answers
from backend.routes.app import create_app
from backend.settings.settings import Settings
from bench.support.report import command, show
from tests.support.marking_fuzz import break_config, harmful, span_rows
from tests.support.rig import ROOT

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 7, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30, -(10**30), 1.5, 1e308),
    *("", " ", "0", "7", "7.1", "-1", "1e9", "٣", "../../etc/passwd", "7;x", "null", "\0", "\ud800", "\udfff\ud800"),
    *("a" * 5000, "😀" * 50, "\u202e\r\n\t", "<script>alert(1)</script>", "{{7*7}}", "%s%n", "$text", "$undefined$"),
    *("2026-01-01T00:00:00Z", "2026-13-41T99:99:99Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999-23:59"),
    *([], {}, [[]], [None], [{}], {"a": {}}, {"id": None}, {"id": []}, {"": ""}, [1, "a", None, {}], [[[[[[]]]]]]),
    *(
        "http://169.254.169.254/",
        "file:///etc/passwd",
        "<View/>",
        "<View",
        '<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>',
    ),
)
"""What takes the place of a value."""

NAMES = (
    "id",
    "project",
    "task",
    "tasks",
    "data",
    "result",
    "value",
    "choices",
    "type",
    "label_config",
    "",
    "\ud800",
    "__proto__",
)
HEADERS: tuple[dict[str, str], ...] = (
    *({"Authorization": text} for text in ("Basic", "Basic !", "Bearer x", "Basic \xff", "Bearer \xff\xff", "\xa0")),
    *(
        {"Content-Type": text}
        for text in ("text/plain", "application/json; charset=utf-16", "multipart/form-data", "x")
    ),
    *({"X-Webhook-Secret": "\xff"}, {"X-Request-ID": "a\xffb" * 9}, {"Transfer-Encoding": "gzip"}, {"Host": "\xff[::"}),
    *(
        {"Origin": "null"},
        {"Content-Encoding": "gzip"},
        {"Accept": "\xff"},
        {"Cookie": "a=\xff;;="},
        {"Range": "bytes=1-"},
    ),
)
QUERIES = (
    "",
    "?limit=-1",
    "?limit=%D9%A3",
    "?limit=1e9",
    "?task=1&control=%00",
    "?task=%ff",
    "?control=" + "x" * 2000,
    "?&&=",
)
PARTS = (
    "",
    "0",
    "-1",
    "7;x",
    "..",
    "%2e%2e",
    "%00",
    "%ff",
    "٣",
    "1e9",
    "9" * 30,
    "x" * 300,
    "7",
    "train-7-abc",
    "%2f",
    "a b",
)


@dataclass(frozen=True)
class Call:
    """One request."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything inside `value`."""
    found: list[tuple[Any, Any]] = []
    stack = [value]
    while stack:
        holder = stack.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        found.extend((holder, key) for key in keys)
        stack.extend(holder[key] for key in keys if isinstance(holder[key], dict | list))
    return found


def change(chance: random.Random, body: Any, others: Sequence[Any]) -> Any:
    """A copy of `body` in which one to four things are not as they were."""
    body = copy.deepcopy(body)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        inside = places(body) if isinstance(body, dict | list) else []
        if not inside:
            return chance.choice(VALUES)
        holder, key = chance.choice(inside)
        chance.choice(CHANGES)(chance, holder, key, others)
    return body


def _replace(chance: random.Random, holder: Any, key: Any, others: Sequence[Any]) -> None:
    holder[key] = copy.deepcopy(chance.choice(VALUES))


def _remove(chance: random.Random, holder: Any, key: Any, others: Sequence[Any]) -> None:
    del holder[key]


def _rename(chance: random.Random, holder: Any, key: Any, others: Sequence[Any]) -> None:
    if isinstance(holder, dict):
        holder[chance.choice(NAMES)] = holder.pop(key)


def _repeat(chance: random.Random, holder: Any, key: Any, others: Sequence[Any]) -> None:
    holder[key] = [copy.deepcopy(holder[key]) for _ in range(chance.choice((0, 1, 2, 20)))]


def _wrap(chance: random.Random, holder: Any, key: Any, others: Sequence[Any]) -> None:
    for _ in range(chance.choice((1, 2, 40, 70))):
        holder[key] = chance.choice(([holder[key]], {"a": holder[key]}))


def _graft(chance: random.Random, holder: Any, key: Any, others: Sequence[Any]) -> None:
    there = places(chance.choice(others))
    if there:
        other, place = chance.choice(there)
        holder[key] = copy.deepcopy(other[place])


def _retype(chance: random.Random, holder: Any, key: Any, others: Sequence[Any]) -> None:
    holder[key] = chance.choice((str, repr, bool, lambda value: [value], lambda value: {"id": value}))(holder[key])


CHANGES: tuple[Callable[[random.Random, Any, Any, Sequence[Any]], None], ...] = (
    *(_replace, _replace, _replace, _remove, _remove, _rename, _repeat, _wrap, _graft, _graft, _retype),
)


def damage(chance: random.Random, data: bytes) -> bytes:
    """Bytes that are hardly JSON any more."""
    for _ in range(chance.choice((1, 1, 3, 9))):
        at = chance.randrange(len(data) + 1)
        cut = chance.randrange(1, 20)
        piece = chance.choice(
            (b"", b"\0", b"\xff", b"{", b"]", b"NaN", b"1e999", b'"\\ud800"', b"\\", b"9" * 50, b"," * 3)
        )
        data = data[:at] + piece + data[at + chance.choice((0, 0, cut)) :]
    return data[: chance.randrange(len(data) + 1)] if chance.random() < 0.1 else data


def encode(body: Any) -> bytes:
    """JSON as Python writes it: lone surrogates escaped, huge integers and all."""
    return json.dumps(body).encode()


RECORDED = ROOT / "tests" / "contract" / "payloads"
HANG_SECONDS = 10.0
FAILURES_SHOWN = 20
ADMIN = {"Authorization": "Bearer admin"}
ROUTES = ("", "/versions", "/examples", "/curve", "/suspects", "/explain", "/retrain", "/rollback", "/unpin", "/resync")


@contextmanager
def running_services() -> Iterator[Services]:
    """The web process's services on a Redis without a log."""
    with tempfile.TemporaryDirectory(prefix="us-") as scratch:
        socket = Path(scratch) / "redis.sock"
        command = [find_redis_server(), "--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"]
        with subprocess.Popen(command, cwd=scratch, stdout=subprocess.DEVNULL) as redis:
            while not answers(socket):
                time.sleep(0.02)
            facts: dict[str, Any] = {"admin_token": "admin", "allow_unsafe_redis": True, "max_body_mb": 4}
            services = build_services(Settings(data_dir=Path(scratch) / "d", redis_url=f"unix://{socket}", **facts))
            while services.registry.not_ready:
                time.sleep(0.02)
            yield services
            services.stop()
            services.stores.close()
            redis.terminate()


def recorded_rows() -> list[dict[str, Any]]:
    """Path and body of what Label Studio sent."""
    rows = [row for path in sorted(RECORDED.glob("*.json")) for row in json.loads(path.read_text("utf-8"))]
    return [row for row in rows if row["body"] is not None and not row["path"].startswith("/sub")]


def _with_broken_config(chance: random.Random, body: Any) -> Any:
    """A copy, wherever it has its config."""
    body = copy.deepcopy(body)
    for holder, name in ((body, "schema"), (body, "label_config"), (body.get("project"), "label_config")):
        if isinstance(holder, dict) and isinstance(holder.get(name), str):
            holder[name] = break_config(chance, holder[name])
    return body


class Cases:
    """The requests of one seed."""

    def __init__(self, seed: int, *, spans: bool = False) -> None:
        self._seed, self._spans = seed, spans
        self._rows = span_rows() if spans else recorded_rows()
        self._bodies = [row["body"] for row in self._rows]

    def make(self, number: int) -> Call:
        """Case `number`."""
        chance = random.Random(f"{self._seed}:{number}")
        if self._spans:
            return self._mark(chance)
        if chance.random() < 0.15:
            return self._admin(chance)
        row = chance.choice(self._rows)
        path = (
            row["path"].split("?")[0] if chance.random() < 0.95 else chance.choice(("/job_status", "/train", "/setup"))
        )
        body = encode(change(chance, row["body"], self._bodies))
        if chance.random() < 0.2:
            body = damage(chance, body)
        headers = chance.choice(HEADERS) if chance.random() < 0.1 else {}
        return Call("POST", path, body, headers)

    def _mark(self, chance: random.Random) -> Call:
        row = chance.choice(self._rows)
        body = row["body"]
        if chance.random() < 0.25:
            body = _with_broken_config(chance, body)
        elif chance.random() < 0.9:  # others go as they are, so that there is something to begin with
            body = change(chance, body, self._bodies)
        return Call("POST", row["path"], encode(body))

    def _admin(self, chance: random.Random) -> Call:
        project = chance.choice(("1", "2", "3", chance.choice(PARTS)))
        place = f"/admin/projects/{project}{chance.choice(ROUTES)}"
        path = chance.choice(
            (place, place, f"/admin/jobs/{chance.choice(PARTS)}{chance.choice(('', '/cancel'))}", "/admin/audit")
        )
        body = encode(change(chance, {"version": "v0.1"}, self._bodies))
        method = chance.choice(("GET", "GET", "POST", "POST", "PUT", "HEAD", "OPTIONS"))
        headers = chance.choice(HEADERS) if chance.random() < 0.1 else {}
        return Call(method, path + chance.choice(QUERIES), body if method == "POST" else b"", {**ADMIN, **headers})


class Watch:
    """Notes a case that takes longer than HANG_SECONDS."""

    def __init__(self) -> None:
        self.hung: list[int] = []
        self._now: tuple[int, float] | None = None
        threading.Thread(target=self._look, daemon=True).start()

    def begin(self, number: int) -> None:
        self._now = (number, time.monotonic())

    def end(self) -> None:
        self._now = None

    def _look(self) -> None:
        while True:
            time.sleep(1.0)
            now = self._now
            if now and time.monotonic() - now[1] > HANG_SECONDS and now[0] not in self.hung:
                self.hung.append(now[0])


def run(cases: int, seed: int, minutes: float, *, spans: bool = False) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(one row of figures, the failures)."""
    made, watch = Cases(seed, spans=spans), Watch()
    statuses: Counter[str] = Counter()
    failures: list[dict[str, Any]] = []
    slowest, began = 0.0, time.monotonic()
    with running_services() as services:
        client = create_app(services).test_client()
        number = 0
        while number < cases and not (minutes and time.monotonic() - began > 60 * minutes):
            call = made.make(number)
            watch.begin(number)
            since = time.monotonic()
            status, text = send(client, call)
            slowest = max(slowest, time.monotonic() - since)
            watch.end()
            statuses[f"{status // 100}xx"] += 1
            if status >= 500:
                failures.append({"case": number, "status": status, "call": describe(call), "reply": text[:300]})
            if spans and call.path == "/predict" and (reasons := harmful(call.body, text)):
                failures.append({"case": number, "harmful": reasons, "call": describe(call), "reply": text[:300]})
            number += 1
        healthy = client.get("/health").status_code == 200
    row = {
        "cases": number,
        "seed": seed,
        **dict(sorted(statuses.items())),
        "server_errors": sum("status" in one for one in failures),
    }
    row |= {"harmful_replies": sum("harmful" in one for one in failures)} if spans else {}
    row |= {"hangs": len(watch.hung), "slowest_s": round(slowest, 2), "healthy": healthy}
    row |= {"seconds": round(time.monotonic() - began)}
    return row, failures + [{"case": case, "status": "hung"} for case in watch.hung]


def send(client: Any, call: Call) -> tuple[int, str]:
    """(status, body); an exception that leaves the application is a 599."""
    kind = {"Content-Type": "application/json"} if call.body else {}
    try:
        reply = client.open(call.path, method=call.method, data=call.body, headers={**kind, **call.headers})
    except UnicodeEncodeError:
        return 400, "the test client cannot send this"
    except Exception as error:
        return 599, repr(error)
    return int(reply.status_code), str(reply.text)


def describe(call: Call) -> str:
    """Enough to see what it was; `Cases(seed).make(case)` makes all of it again."""
    body = call.body if len(call.body) < 400 else call.body[:400] + b"..."
    return f"{call.method} {call.path} {dict(call.headers)} {base64.b85encode(body).decode() if body else ''}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line entry; 1 when anything failed."""
    parser = command(__doc__)
    parser.add_argument("--spans", action="store_true")
    parser.add_argument("--cases", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0, help="Stop after so long; 0: after all cases.")
    args = parser.parse_args(arguments)
    cases = args.cases or (10_000 if args.spans else 100_000)
    logging.disable(logging.WARNING)
    try:
        row, failures = run(cases, args.seed, args.minutes, spans=args.spans)
    finally:
        logging.disable(logging.NOTSET)
    show("fuzz: hostile requests", [row], args.json)
    for failure in failures[:FAILURES_SHOWN]:
        print(json.dumps(failure))
    return 1 if failures or not row["healthy"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
