"""A server that speaks OpenAI's chat format as well or as badly as it is told, and remembers what it was asked.

No language model runs here: an answer is made by a function of the text."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.conftest import serving

Maker = Callable[[str], Any]
"""From a text to what the model says: an object, told as JSON, or the words themselves."""


@dataclass
class Asked:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def text(self) -> str:
        """Between the fences."""
        lines = self.body["messages"][-1]["content"].split("\n")
        return "\n".join(lines[1:-1])


@dataclass
class TeacherServer:
    """`make`: what it says; `plan`: instead of that, one after the other, then as before: a status, headers with a
    status, "hang", "reset", "trickle", "huge", "html", "redirect" or bytes. `logprobs`: of every answer; `plain`: it
    refuses
    JSON mode and log-probabilities."""

    make: Maker
    plan: list[Any] = field(default_factory=list)
    logprobs: float | None = None
    plain: bool = False
    url: str = ""
    seen: list[Asked] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)


def completion(said: Any, logprob: float | None = None) -> dict[str, Any]:
    content = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": content}}
    if logprob is not None:
        parts = re.findall(r"\w+|\W", content)
        choice["logprobs"] = {"content": [{"token": part, "logprob": logprob} for part in parts]}
    return {"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 10}}


class Handler(BaseHTTPRequestHandler):
    """Answers for the `teacher` of its subclass."""

    teacher: TeacherServer
    protocol_version = "HTTP/1.1"
    """Connections are kept, as servers of language models do."""

    def do_POST(self) -> None:
        teacher = self.teacher
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        with teacher.lock:
            teacher.seen.append(asked)
            answer = teacher.plan.pop(0) if teacher.plan else None
        if answer is None and teacher.plain and {"response_format", "logprobs"} & set(body):
            answer = 400
        if answer is None:
            answer = json.dumps(completion(teacher.make(asked.text), teacher.logprobs)).encode()
        self._answer(*answer) if isinstance(answer, tuple) else self._answer(answer)

    def _answer(self, answer: Any, headers: dict[str, str] | None = None) -> None:
        shapes: dict[Any, Callable[[], object]] = {
            "hang": self._hang,
            "reset": lambda: self.connection.shutdown(socket.SHUT_RDWR),
            "redirect": lambda: self._send(307, b"", {"Location": f"{self.teacher.url}/elsewhere"}),
            "html": lambda: self._send(200, b"<html><script>alert(1)</script></html>", {"Content-Type": "text/html"}),
            "huge": lambda: self._stream(b"x" * 65536, 64),
            "trickle": lambda: self._stream(b" ", 2000, pause=0.05),
        }
        if isinstance(answer, str):
            shapes[answer]()
        elif isinstance(answer, int):
            self._send(answer, b'{"error": {"message": "no"}}', headers or {})
        else:
            self._send(200, answer, headers or {})

    def _hang(self) -> None:
        self.close_connection = True
        self.teacher.over.wait(20)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, part: bytes, times: int, pause: float = 0.0) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        with suppress(OSError):  # nobody reads any more
            for _ in range(times):
                self.wfile.write(part)
                self.wfile.flush()
                if self.teacher.over.wait(pause):
                    return

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def teaching(make: Maker, *plan: Any, **given: Any) -> Iterator[TeacherServer]:
    """One on a free port of this machine."""
    teacher = TeacherServer(make, list(plan), **given)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"teacher": teacher}))
    server.daemon_threads = True
    teacher.url = f"http://127.0.0.1:{server.server_port}"
    with serving(server):
        try:
            yield teacher
        finally:
            teacher.over.set()
