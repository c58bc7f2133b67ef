"""Hostile requests against the application: changed recordings of Label Studio, damaged bytes, paths, queries, headers.

    python -m bench.fuzz [--cases 100000] [--seed 1] [--minutes 0] [--json]
    python -m bench.fuzz --spans [--cases 10000] [--json]
    python -m bench.fuzz --stored [--cases 3000] [--json]

Everything is real but the socket: the WSGI application, its models (the packaged MiniLM) and a Redis of its own, which
writes no log, since what is looked for here is no loss but an answer of 5xx, an exception, or none within 10 seconds.
Every case can be made again from the seed and its number; those that fail are printed with it.

`--spans`: annotations, tasks, marks and label configs of marked text, also with answers about regions, relations and
questions, in projects that have learned and others; no region that would harm the page may be in a reply either.
`--stored`: what the store holds of such projects is changed past the product, one value a case (cut off, of another
type, of an earlier release), and everything that reads it is called, the learner and the scheduler among it.
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from backend.application.services import Services, build_services
from backend.embedded_redis.binary import find_redis_server
from backend.embedded_redis.server import answers
from backend.jobs.context import Context
from backend.redis_access.connection import connect
from backend.routes.app import create_app
from backend.settings.settings import Settings
from backend.ui.page import TABS
from backend.web.policy import POLICIES
from bench.support.report import command, show
from tests.support.marking_fuzz import break_config, break_result, harmful, span_rows
from tests.support.mutations import VALUES, change, damage, encode
from tests.support.rig import ROOT
from tests.support.stored_fuzz import Readers, StoredCases, prepare, readers_of

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


RECORDED = ROOT / "tests" / "contract" / "payloads"
HANG_SECONDS, LEARN_SECONDS = 10.0, 60.0
"""Seconds after which a request hangs, and a refit: that takes one, or several on a machine with other work."""

FAILURES_SHOWN = 20
Row = dict[str, Any]
ADMIN = {"Authorization": "Bearer admin"}
ROUTES = ("", "/versions", "/examples", "/curve", "/suspects", "/explain", "/retrain", "/rollback", "/unpin", "/resync")


UI_ROUTES = tuple(route for route in POLICIES if route.partition(" ")[2].startswith("/ui"))
FIELDS = (
    "control",
    "given",
    "said",
    "level",
    "elsewhere",
    "page",
    "version",
    "csrf_token",
    "token",
    "code",
    "next",
    "x",
)
PARTIAL: tuple[dict[str, str], ...] = ({}, {"HX-Request": "true"}, {"HX-Request": "true", "If-None-Match": 'W/"\xff"'})


@contextmanager
def running_services() -> Iterator[Services]:
    """The web process's services on a Redis without a log."""
    with tempfile.TemporaryDirectory(prefix="us-") as scratch:
        socket = Path(scratch) / "redis.sock"
        command = [
            str(find_redis_server()),
            "--port",
            "0",
            "--unixsocket",
            str(socket),
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        with subprocess.Popen(command, cwd=scratch, stdout=subprocess.DEVNULL) as redis:
            while not answers(socket):
                time.sleep(0.02)
            facts: dict[str, Any] = {"admin_token": "admin", "allow_unsafe_redis": True, "max_body_mb": 4}
            services = build_services(Settings(data_dir=Path(scratch) / "d", redis_url=f"unix://{socket}", **facts))
            try:
                while services.registry.not_ready:
                    time.sleep(0.02)
                yield services
            finally:
                services.stop()
                redis.terminate()


def recorded_rows() -> list[dict[str, Any]]:
    """Path and body of what Label Studio sent."""
    rows = [row for path in sorted(RECORDED.glob("*.json")) for row in json.loads(path.read_text("utf-8"))]
    return [row for row in rows if row["body"] is not None and not row["path"].startswith("/sub")]


def _with_broken_result(chance: random.Random, body: Any) -> Any:
    """A copy, wherever it has what was marked."""
    body = copy.deepcopy(body)
    for holder in (body.get("annotation"), (body.get("params") or {}).get("context")):
        if isinstance(holder, dict) and "result" in holder:
            holder["result"] = break_result(chance, holder["result"])
    return body


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
        if chance.random() < 0.1:
            return self._page(chance)
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
        how = chance.random()
        if how < 0.2:
            body = _with_broken_config(chance, body)
        elif how < 0.55:
            body = _with_broken_result(chance, body)
        elif how < 0.95:  # others go as they are, so that there is something to begin with
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

    def _page(self, chance: random.Random) -> Call:
        """Every route of the model page, with tabs, queries and fields of forms that may be anything."""
        method, _, path = chance.choice(UI_ROUTES).partition(" ")
        project = chance.choice(("1", "2", "3", chance.choice(PARTS)))
        tab = chance.choice((*(tab.slug for tab in TABS), chance.choice(PARTS)))
        path = path.replace("<project>", project).replace("<tab>", tab).replace("<file>", chance.choice(PARTS))
        fields = {name: chance.choice(VALUES) for name in chance.sample(FIELDS, chance.randrange(4))}
        text = urlencode(fields, errors="replace")[:2000]
        headers = {**ADMIN, **(chance.choice(HEADERS) if chance.random() < 0.1 else {}), **chance.choice(PARTIAL)}
        if method == "GET":
            return Call(chance.choice(("GET", "GET", "GET", "HEAD")), f"{path}?{text}", b"", headers)
        return Call(method, path, text.encode(), {"Content-Type": "application/x-www-form-urlencoded", **headers})


class Watch:
    """Notes a case that takes longer than `seconds`."""

    def __init__(self, seconds: float = HANG_SECONDS) -> None:
        self.hung: list[int] = []
        self._seconds = seconds
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
            if now and time.monotonic() - now[1] > self._seconds and now[0] not in self.hung:
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
        if spans:
            prepare(services, Context(services.settings), client)
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
    row: dict[str, Any] = {
        "cases": number,
        "seed": seed,
        **dict(sorted(statuses.items())),
        "server_errors": sum("status" in one for one in failures),
    }
    row |= {"harmful_replies": sum("harmful" in one for one in failures)} if spans else {}
    row |= {"hangs": len(watch.hung), "slowest_s": round(slowest, 2), "healthy": healthy}
    row |= {"seconds": round(time.monotonic() - began)}
    return row, failures + [{"case": case, "status": "hung"} for case in watch.hung]


def run_stored(cases: int, seed: int, minutes: float) -> tuple[Row, list[Row]]:
    """(one row of figures, the failures) of changes of what is stored."""
    failures: list[Row] = []
    watch, read, began = Watch(LEARN_SECONDS), Counter[str](), time.monotonic()
    with running_services() as services:
        client = create_app(services).test_client()
        context = Context(services.settings)
        prepare(services, context, client)
        made, readers = StoredCases(connect(services.settings, binary=True), seed), Readers(client, context)
        number = 0
        while number < cases and not (minutes and time.monotonic() - began > 60 * minutes):
            case = made.make(number)
            undo = made.apply(case)
            watch.begin(number)
            chance = random.Random(f"{seed}:{number}:read")
            for how in readers_of(chance, case.key):
                read[how] += 1
                if problem := readers.read(how, case.project):
                    failures.append(
                        {"case": number, "problem": problem, "key": case.key, "value": repr(case.value)[:300]}
                    )
            watch.end()
            undo()
            number += 1
        healthy = client.get("/health").status_code == 200
    row = {"cases": number, "seed": seed, **dict(sorted(read.items())), "failures": len(failures)}
    row |= {"hangs": len(watch.hung), "healthy": healthy, "seconds": round(time.monotonic() - began)}
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
    parser.add_argument("--stored", action="store_true")
    parser.add_argument("--cases", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0, help="Stop after so long; 0: after all cases.")
    args = parser.parse_args(arguments)
    cases = args.cases or (3_000 if args.stored else 10_000 if args.spans else 100_000)
    logging.disable(logging.WARNING)
    try:
        if args.stored:
            row, failures = run_stored(cases, args.seed, args.minutes)
        else:
            row, failures = run(cases, args.seed, args.minutes, spans=args.spans)
    finally:
        logging.disable(logging.NOTSET)
    show("fuzz: changed records" if args.stored else "fuzz: hostile requests", [row], args.json)
    for failure in failures[:FAILURES_SHOWN]:
        print(json.dumps(failure))
    return 1 if failures or not row["healthy"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
