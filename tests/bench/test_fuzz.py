"""A moment of bench/fuzz.py: no hostile request may be a server error or hang."""

from __future__ import annotations

import hashlib
import json
import random
import re
from typing import Any

import pytest

from bench import fuzz
from bench.fuzz import Call, Cases
from tests.support import stored_fuzz


def test_a_case_can_be_made_again_and_no_two_are_alike() -> None:
    first, again, other = ([cases.make(number) for number in range(200)] for cases in map(Cases, (1, 1, 2)))
    assert first == again != other
    assert len({(call.method, call.path, call.body) for call in first}) > 190
    assert {call.path.split("/")[1].split("?")[0] for call in first} >= {"webhook", "predict", "setup", "admin", "ui"}


def test_every_route_of_the_model_page_is_asked() -> None:
    cases = Cases(1)
    asked = [call for call in map(cases.make, range(6000)) if call.path.startswith("/ui")]
    for route in fuzz.UI_ROUTES:
        method, _, path = route.partition(" ")
        shape = re.compile(re.sub("<[^>]*>", ".*", re.escape(path).replace("\\<", "<")) + r"(\?.*)?", re.DOTALL)
        assert any(call.method == method and shape.fullmatch(call.path) for call in asked), route


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


def test_no_broken_annotation_or_config_of_spans_is_a_server_error(capsys: Any) -> None:
    assert fuzz.main(["--spans", "--cases", "200", "--seed", "5", "--json"]) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (row["cases"], row["server_errors"], row["harmful_replies"], row["hangs"]) == (200, 0, 0, 0)
    assert row["2xx"] > 60 and row["4xx"] > 5


def test_no_changed_record_stops_who_reads_it(capsys: Any) -> None:
    assert fuzz.main(["--stored", "--cases", "20", "--seed", "5", "--json"]) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (row["cases"], row["failures"], row["hangs"]) == (20, 0, 0) and row["learn"] and row["mark"]


def test_results_are_broken_in_many_ways() -> None:
    row = next(row for row in fuzz.span_rows() if row["path"] == "/webhook" and row["body"]["project"]["id"] > 500)
    result = row["body"]["annotation"]["result"]
    broken = [fuzz.break_result(random.Random(seed), result) for seed in range(80)]
    assert len({json.dumps(one, default=str) for one in broken}) > 50
    assert result == row["body"]["annotation"]["result"], "a copy is broken"


def test_stored_values_are_spoilt_as_other_releases_and_bad_disks_do() -> None:
    value = b'1577cc4ed25196da{"annotation": 3, "task": 3, "texts": {"text": "a"}}'
    spoilt = [stored_fuzz.spoil(random.Random(seed), "ex", value) for seed in range(200)]
    assert len(set(spoilt)) > 150
    whole = [one for one in spoilt if hashlib.sha256(one[16:]).hexdigest()[:16].encode() == one[:16]]
    assert 50 < len(whole) < 180, "some are refused by their digest, others are not"


def test_a_region_that_would_harm_the_page_is_found() -> None:
    row = next(row for row in fuzz.span_rows() if row["path"] == "/predict")
    body = fuzz.encode(row["body"])
    value = {"start": 0, "end": 3, "labels": ["PER"]}
    region = {"id": "a b", "from_name": "label", "to_name": "text", "type": "labels", "value": value, "score": 0.5}
    assert fuzz.harmful(body, json.dumps({"results": [{"result": [region]}]})) == ["bad_id"]
    assert fuzz.harmful(body, json.dumps({"results": [{"result": [{**region, "id": "ab"}]}]})) == []
    assert fuzz.harmful(body, "no reply") == []


def test_configs_are_broken_in_many_ways() -> None:
    config = next(row for row in fuzz.span_rows() if row["path"] == "/setup")["body"]["schema"]
    broken = {fuzz.break_config(random.Random(seed), config) for seed in range(50)}
    assert len(broken) > 30 and any("<Labels" in one for one in broken)
