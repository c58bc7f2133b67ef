"""The exchange of a personal access token, against a server that answers as Label Studio does."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backend.errors import LabelStudioError
from backend.labelstudio.rest import transport
from backend.labelstudio.rest.token import MARGIN_SECONDS, Token, read_claims, seconds_of
from backend.labelstudio.rest.transport import Transport
from tests.conftest import serving

LEGACY = "a" * 40


def jwt_of(claims: Any, header: Any = None) -> str:
    parts = ({"alg": "HS256", "typ": "JWT"} if header is None else header, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


REFRESH = jwt_of({"token_type": "refresh", "exp": 8_000_000_000, "iat": 1_700_000_000})


class Studio(ThreadingHTTPServer):
    """Access tokens live for `seconds`, and are valid until `revoke`; `clock` is how far its clock is ahead."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seconds, self.clock, self.given, self.valid = 300.0, 0.0, 0, set[str]()
        self.seen: list[tuple[str, str]] = []
        self.exchange: tuple[int, str, bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/studio"

    def give(self) -> str:
        now = time.time() + self.clock
        self.given += 1
        token = jwt_of({"token_type": "access", "iat": now, "exp": now + self.seconds, "jti": self.given})
        self.valid.add(token)
        return token


class Handler(BaseHTTPRequestHandler):
    server: Studio

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((f"{self.command} {self.path}", self.headers.get("Authorization", "")))
        if self.path == "/studio/api/token/refresh/":
            if self.server.exchange is not None:
                return self.reply(*self.server.exchange)
            if json.loads(body) == {"refresh": REFRESH}:
                return self.say(200, {"access": self.server.give()})
            return self.say(401, {"detail": "Token is invalid or expired", "code": "token_not_valid"})
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        if (kind, token) != ("Token", LEGACY) and not (kind == "Bearer" and token in self.server.valid):
            return self.say(401, {"detail": "Given token not valid for any token type"})
        return self.say(200, {"path": self.path, "body": body.decode()})

    do_POST = do_GET

    def say(self, status: int, body: Any) -> None:
        self.reply(status, "application/json", json.dumps(body).encode())

    def reply(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    monkeypatch.setattr(transport, "WAIT_SECONDS", (0.0,))
    with serving(Studio()) as server:
        yield server


def test_a_legacy_token_is_sent_as_it_is(studio: Studio) -> None:
    with_slash = Transport(f"{studio.url}/", LEGACY)
    assert with_slash.call("GET", "api/tasks/", None, {"id": [1, 2], "q": "ä&b"})["path"] == (
        "/studio/api/tasks/?id=1&id=2&q=%C3%A4%26b"
    )
    assert studio.seen == [("GET /studio/api/tasks/?id=1&id=2&q=%C3%A4%26b", f"Token {LEGACY}")]
    with_slash.close()


@pytest.mark.parametrize("clock", [0.0, -86_400.0, 86_400.0])
def test_one_exchange_serves_many_calls_whatever_the_clocks_say(studio: Studio, clock: float) -> None:
    studio.clock = clock
    caller = Transport(studio.url, REFRESH)
    for number in range(3):
        assert json.loads(caller.call("POST", "/api/x/", {"n": number})["body"]) == {"n": number}
    assert studio.given == 1 and len(studio.seen) == 4
    assert studio.seen[0] == ("POST /studio/api/token/refresh/", "")
    caller.close()


def test_an_access_token_is_renewed_before_its_end() -> None:
    now, given = [1000.0], []

    def exchange(key: str) -> str:
        given.append(jwt_of({"iat": 5e9, "exp": 5e9 + 300, "jti": len(given)}))
        return given[-1]

    token = Token(REFRESH, lambda: now[0])
    for passed in (0.0, 300 - MARGIN_SECONDS - 1):
        now[0] = 1000.0 + passed
        assert token.header(exchange) == f"Bearer {given[0]}"
    now[0] = 1000.0 + 300 - MARGIN_SECONDS
    assert token.header(exchange) == f"Bearer {given[1]}"


@pytest.mark.parametrize("seconds", [0.2, 10.0, MARGIN_SECONDS])
def test_a_short_life_is_used_for_its_first_half(seconds: float) -> None:
    now, given = [0.0], []

    def exchange(key: str) -> str:
        given.append(jwt_of({"iat": 5e9, "exp": 5e9 + seconds}))
        return given[-1]

    token = Token(REFRESH, lambda: now[0])
    for moment, expected in ((0.0, 1), (seconds * 0.4, 1), (seconds * 0.6, 2)):
        now[0] = moment
        token.header(exchange)
        assert len(given) == expected


def test_a_refused_access_token_is_renewed_once_also_for_a_post(studio: Studio) -> None:
    caller = Transport(studio.url, REFRESH)
    caller.call("GET", "/api/x/")
    studio.valid.clear()  # the machine has slept, or Label Studio was given another secret
    assert json.loads(caller.call("POST", "/api/x/", [1])["body"]) == [1]
    assert studio.given == 2
    studio.valid.clear()
    studio.exchange = (200, "application/json", json.dumps({"access": jwt_of({"jti": "never valid"})}).encode())
    before = len(studio.seen)
    with pytest.raises(LabelStudioError, match=r"Label Studio \(401\): Given token not valid") as caught:
        caller.call("POST", "/api/x/", [1])
    assert caught.value.evidence["status"] == 401 and len(studio.seen) == before + 3
    caller.close()


def test_a_personal_token_that_is_not_valid_is_told_as_label_studio_tells_it(studio: Studio) -> None:
    for key in (jwt_of({"exp": 1}), jwt_of({"token_type": "refresh"})):
        with pytest.raises(LabelStudioError, match=r"Label Studio \(401\): Token is invalid or expired") as caught:
            Transport(studio.url, key).call("GET", "/api/x/")
        assert "LABEL_STUDIO_API_KEY is not a valid token" in caught.value.evidence["hint"]
        assert key not in str(caught.value.evidence) + caught.value.message
    assert [path for path, _ in studio.seen] == ["POST /studio/api/token/refresh/"] * 2


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((200, "text/html", b"<html>welcome</html>"), "gives no access token.*is it a Label Studio"),
        ((200, "application/json", b"[]"), "gives no access token.*is it a Label Studio"),
        ((200, "application/json", b'{"refresh": "x"}'), "gives no access token.*is it a Label Studio"),
        ((200, "application/json", b'{"access": null}'), "gives no access token.*is it a Label Studio"),
        ((404, "text/html", b"<html>nothing</html>"), r"\(404\): a page instead of JSON for /api/token/refresh/"),
        ((503, "text/plain", b"starting"), r"\(503\): starting"),
        ((302, "text/plain", b""), "redirects to .*set LABEL_STUDIO_URL"),
    ],
)
def test_an_exchange_that_fails_is_one_readable_error(
    studio: Studio, answer: tuple[int, str, bytes], told: str
) -> None:
    studio.exchange = answer
    with pytest.raises(LabelStudioError, match=told):
        Transport(studio.url, REFRESH).call("POST", "/api/x/", {})
    assert {path for path, _ in studio.seen} == {"POST /studio/api/token/refresh/"}


TEXTS = st.one_of(
    st.text(max_size=60),
    st.text("abcDEF012-_.=", max_size=60),
    st.builds(
        jwt_of, st.one_of(st.dictionaries(st.text(max_size=4), st.integers()), st.lists(st.integers()), st.none())
    ),
)


@hypothesis_settings(deadline=None)  # the first one imports the SDK
@given(TEXTS)
@example(LEGACY)
@example(REFRESH)
@example(jwt_of({"exp": 10**400}))
@example("." * 2)
def test_what_a_jwt_is_as_the_sdk_sees_it(text: str) -> None:
    """Label Studio's own SDK is the oracle, without its looks at the clock."""
    from label_studio_sdk.tokens.client_ext import TokensClientExt

    oracle = TokensClientExt.__new__(TokensClientExt)
    try:
        theirs = oracle._decode_jwt_payload(text)
    except ValueError:  # it cannot bear a text that has no bytes
        theirs = None
    assert read_claims(text) == theirs


@pytest.mark.parametrize("claim", [None, "soon", [], 10**400, float("nan"), float("inf")])
def test_a_time_that_is_none_is_not_known(claim: Any) -> None:
    assert seconds_of(claim) is None
