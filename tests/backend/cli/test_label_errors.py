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
    header, first, second, last = understudy("suspects", "7").output.splitlines()
    assert header.split()[:4] == ["control", "task", "annotation", "text"]
    assert "31, 32" in first and "refund" in first and "0.012" in first and "likely wrong" in first
    assert "\x1b" not in first
    assert "(not set)" in second
    assert last == "2 of 9 (topic: 64 labels)."


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
