"""`understudy suspects` against a server that answers as the admin API does."""

from __future__ import annotations

import json
from typing import Any

from tests.backend.cli.test_admin import Admin, admin, understudy

__all__ = ["admin", "understudy"]

PATH = "/admin/projects/7/suspects?limit=20"
ROW = {"control": "topic", "task": 5, "annotations": [31, 32], "text": "Where is\x1b my parcel?", "given": "refund"}
ROW |= {"suggested": "delivery", "p_given": 0.0123, "p_suggested": 0.9, "flag": "likely wrong"}
SEARCHED = {"topic": {"labels": 64, "at": 1.0}}


def test_suspects_are_a_table(admin: Admin, understudy: Any) -> None:
    missing = {**ROW, "task": 6, "given": "", "flag": ""}
    admin.replies["GET", PATH] = 200, {"suspects": [ROW, missing], "found": 9, "searched": SEARCHED}
    header, first, second, last, unflagged = understudy("suspects", "7").output.splitlines()
    assert header.split()[:4] == ["control", "task", "annotation", "text"]
    assert "31, 32" in first and "refund" in first and "0.012" in first and "likely wrong" in first
    assert "\x1b" not in first
    assert "(not set)" in second
    assert last == "2 of 9 (topic: 64 labels)."
    assert unflagged == "1 without a flag: the least sure of the rest, and most of them right."


def test_none_yet_is_not_the_same_as_none(admin: Admin, understudy: Any) -> None:
    admin.replies["GET", PATH] = 200, {"suspects": [], "found": 0, "searched": {}}
    assert "No whole search has run yet" in understudy("suspects", "7").output
    admin.replies["GET", PATH] = 200, {"suspects": [], "found": 0, "searched": SEARCHED}
    assert understudy("suspects", "7").output.startswith("None:")


def test_control_limit_and_json_are_passed_on(admin: Admin, understudy: Any) -> None:
    body = {"suspects": [ROW], "found": 1, "searched": SEARCHED}
    admin.replies["GET", "/admin/projects/7/suspects?limit=3&control=to+pic"] = 200, body
    output = understudy("suspects", "7", "--json", "--control", "to pic", "--limit", "3").stdout
    assert json.loads(output) == body


def test_spans_are_shown_with_what_stands_there_and_the_kind_of_error(admin: Admin, understudy: Any) -> None:
    place = {"start": 3, "end": 9, "text": "New York\x1b"}
    wrong = {**ROW, "control": "names", "given": "PER", "suggested": "LOC", "kind": "wrong label"}
    wrong |= {"given_span": place, "suggested_span": place}
    missed = {**wrong, "task": 6, "given": "", "kind": "missed"}
    del missed["given_span"]
    body = {"suspects": [wrong, missed], "found": 2, "searched": {"names": {"labels": 64, "at": 1.0}}}
    admin.replies["GET", PATH] = 200, body
    header, first, second, last = understudy("suspects", "7").output.splitlines()
    assert header.split()[-1] == "kind" and "\x1b" not in first
    assert first.count('"New York') == 2 and 'PER  "New York' in first and first.rstrip().endswith("wrong label")
    assert "(nothing)" in second and second.rstrip().endswith("missed")
    assert last == "2 of 2 (names: 64 labels)."


def test_what_is_not_searched_yet_is_named(admin: Admin, understudy: Any) -> None:
    body = {"suspects": [], "found": 0, "searched": {}, "not_searched": ["names"]}
    admin.replies["GET", PATH] = 200, body
    assert understudy("suspects", "7").output.splitlines() == [
        "Not searched yet: names. Marked text is, from 16 texts on, when nobody is labelling."
    ]
    admin.replies["GET", PATH] = 200, {**body, "searched": SEARCHED}
    assert understudy("suspects", "7").output.splitlines()[1].startswith("None:")
