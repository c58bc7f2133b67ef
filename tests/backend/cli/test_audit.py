"""`understudy audit` against a server that answers as the admin API does."""

from __future__ import annotations

import json
from typing import Any

from tests.backend.cli.test_admin import Admin, admin, understudy

__all__ = ["admin", "understudy"]

ACTION = {
    "at": 1795455205.5,
    "by": "admin",
    "address": "127.0.0.1",
    "action": "retrain",
    "project": "7",
    "status": "202",
}


def test_actions_are_a_table(admin: Admin, understudy: Any) -> None:
    admin.replies["GET", "/admin/audit?limit=50"] = 200, {"actions": [ACTION]}
    header, row = understudy("audit").output.splitlines()
    assert header.split() == ["at", "by", "address", "action", "project", "job", "status"]
    assert row.split() == ["2026-11-23", "17:33:25+00:00", "admin", "127.0.0.1", "retrain", "7", "202"]


def test_none_and_json(admin: Admin, understudy: Any) -> None:
    admin.replies["GET", "/admin/audit?limit=3"] = 200, {"actions": []}
    assert understudy("audit", "--limit", "3").output == "Nothing yet.\n"
    admin.replies["GET", "/admin/audit?limit=3"] = 200, {"actions": [ACTION]}
    assert json.loads(understudy("audit", "--limit", "3", "--json").stdout) == [ACTION]
