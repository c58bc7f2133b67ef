"""A moment of bench/fuzz.py: no hostile request may be a server error or hang."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench import fuzz
from bench.fuzz import Call, Cases


def test_a_case_can_be_made_again_and_no_two_are_alike() -> None:
    first, again, other = ([cases.make(number) for number in range(200)] for cases in map(Cases, (1, 1, 2)))
    assert first == again != other
    assert len({(call.method, call.path, call.body) for call in first}) > 190
    assert {call.path.split("/")[1].split("?")[0] for call in first} >= {"webhook", "predict", "setup", "admin"}


def test_no_hostile_request_is_a_server_error(capsys: Any) -> None:
    assert fuzz.main(["--cases", "150", "--seed", "3", "--json"]) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (row["cases"], row["server_errors"], row["hangs"]) == (150, 0, 0) and row["2xx"] and row["4xx"]


def test_a_server_error_and_an_exception_are_found(services: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.routes.app import create_app

    client = create_app(services).test_client()
    good = Call("POST", "/webhook", b'{"action": "X"}')
    assert fuzz.send(client, good)[0] == 200

    def fail(body: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr("backend.routes.labelstudio.parse_webhook", fail)
    assert fuzz.send(client, good)[0] == 500
    monkeypatch.setattr(client, "open", fail)
    assert fuzz.send(client, good)[0] == 599
