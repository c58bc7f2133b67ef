"""A receiver of webhooks that answers as it is told, and remembers what it was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from backend.store.outbox.endpoint import Endpoint, outbox_keys
from backend.store.stores import Stores
from backend.store.versions import VersionStore
from tests.conftest import serving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""The example of the specification."""


def tell_versions(stores: Stores) -> Callable[[], list[dict[str, Any]]]:
    """From now on what becomes of versions is told to somebody who never answers: what waits for him."""
    endpoint = Endpoint("http://127.0.0.1:9/hooks", "nobody")
    stores.versions = VersionStore(stores.client, outbox_keys([endpoint]))
    return lambda: [json.loads(event) for event in stores.client.hvals(endpoint.keys[1])]


@dataclass(frozen=True)
class Delivery:
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Receiver:
    """`answers`: statuses, the last one for all that follow; "hang" and "trickle" for none that ends."""

    answers: list[int | str] = field(default_factory=lambda: [204])
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[Delivery] = field(default_factory=list)
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def next(self) -> int | str:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def receiving(*answers: int | str) -> Iterator[Receiver]:
    """One on a free port of this machine."""
    receiver = Receiver(list(answers) or [204])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            receiver.seen.append(Delivery(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            answer = receiver.next()
            if isinstance(answer, str):
                while answer == "trickle" and not receiver.over.wait(0.02):
                    try:
                        self.wfile.write(b"H")
                    except OSError:
                        break
                receiver.over.wait()
                return
            self.send_response(answer)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}/hooks?key=planted"
    with serving(server):
        try:
            yield receiver
        finally:
            receiver.over.set()
