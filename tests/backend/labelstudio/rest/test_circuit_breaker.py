"""A Label Studio that is gone is asked once in a while, not by everybody; its first answer ends that."""

from __future__ import annotations

import socket
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from backend.errors import LabelStudioError
from backend.labelstudio.rest import transport
from backend.labelstudio.rest.circuit_breaker import OPENING_FAILURES, REST_SECONDS, Breaker, breaker_of
from backend.labelstudio.rest.transport import Transport
from tests.conftest import serving

TOKEN = "a" * 40


def test_it_opens_after_failures_in_a_row_and_lets_one_try_at_a_time() -> None:
    now = [0.0]
    breaker = Breaker(lambda: now[0])
    for answered in (False, False, False, True, False, False, False):
        breaker.note(answered)
        assert breaker.wait() == 0.0
    breaker.note(False)
    assert breaker.wait() == REST_SECONDS
    now[0] = REST_SECONDS + 1
    assert [breaker.wait(), breaker.wait()] == [0.0, REST_SECONDS], "one tries, the others wait for it"
    breaker.note(False)
    now[0] += REST_SECONDS / 2
    assert breaker.wait() == REST_SECONDS / 2
    breaker.note(True)
    assert breaker.wait() == 0.0


class Refuses(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


def test_a_dead_one_is_not_asked_again_and_a_refusal_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "WAIT_SECONDS", (0.0,))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    first, second = Transport(url, TOKEN), Transport(url, TOKEN)
    with pytest.raises(LabelStudioError, match="does not answer"):
        first.call("GET", "/api/projects/1/")
    with pytest.raises(LabelStudioError, match="left alone") as caught:
        second.call("GET", "/api/projects/2/")
    assert caught.value.evidence["sent"] is False
    breaker_of(url)._until = 0.0
    with serving(HTTPServer(("127.0.0.1", port), Refuses)):
        for _ in range(OPENING_FAILURES + 1):
            with pytest.raises(LabelStudioError, match="401"):
                second.call("GET", "/api/projects/2/")
    for one in (first, second):
        one.close()
