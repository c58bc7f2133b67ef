"""How much of a request has come, byte by byte."""

from __future__ import annotations

import pytest

from backend.processes.slow_client_worker import READ_AHEAD_BYTES, Stage, stage_of

GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b'POST /setup HTTP/1.1\r\nHost: x\r\ncontent-LENGTH:  12 \r\n\r\n{"a": "b\\n"}'


@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
def test_a_request_is_whole_with_its_last_byte(request_: bytes) -> None:
    for end in range(len(request_)):
        assert stage_of(request_[:end]) is Stage.PART
    assert stage_of(request_) is Stage.WHOLE
    assert stage_of(bytearray(request_ + GET)) is Stage.WHOLE, "the next one behind it"


def test_what_cannot_be_waited_for_is_large() -> None:
    head = b"POST /predict HTTP/1.1\r\nContent-Length: 999999\r\n\r\n"
    assert stage_of(head) is Stage.PART
    assert stage_of(head + b" " * READ_AHEAD_BYTES) is Stage.LARGE
    assert stage_of(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n") is Stage.LARGE
    assert stage_of(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n") is Stage.LARGE


def test_what_is_no_request_goes_to_the_parser() -> None:
    assert stage_of(b"x" * READ_AHEAD_BYTES) is Stage.WHOLE
    assert stage_of(b"NONSENSE\r\n\r\n") is Stage.WHOLE
    assert stage_of(b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n") is Stage.WHOLE
    assert stage_of(b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 13 + b"\r\n\r\n") is Stage.WHOLE
