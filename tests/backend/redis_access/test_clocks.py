"""A machine whose clock is off is told, by whatever runs there."""

from __future__ import annotations

import logging
import socket
import time
from typing import Any

import pytest

from backend.doctor.store import check_store
from backend.redis_access import clocks
from backend.redis_access.clocks import FORGET_SECONDS, ClockWatch, measure, read_clocks
from backend.settings.settings import Settings
from backend.store.stores import Stores
from tests.backend.web.test_collectors import scrape

pytestmark = pytest.mark.redis


def test_a_clock_that_is_off_is_told_once_in_the_log_and_always_elsewhere(
    settings: Settings, stores: Stores, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert abs(measure(stores._redis)[0]) < 1
    clock = time.time
    monkeypatch.setattr(clocks.time, "time", lambda: clock() + 30)
    monkeypatch.setattr(clocks, "MEASURE_SECONDS", 0.0)
    monkeypatch.setattr(socket, "gethostname", lambda: "other")
    watch = ClockWatch(stores._redis)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            watch.poll()
    monkeypatch.undo()
    assert [record.message.count("ahead of Redis's") for record in caplog.records] == [1]
    assert read_clocks(stores._redis)["other"] == pytest.approx(30, abs=1)
    assert scrape(settings)["understudy_clock_ahead_seconds", "other"] == pytest.approx(30, abs=1)
    seen = {verdict.check: verdict for verdict in check_store(settings)[0]}
    assert seen["clock of other"].state == "fail" and "Redis's" in seen["clock of other"].evidence


def test_a_machine_that_is_gone_is_forgotten_and_damage_told_to_nobody(stores: Stores) -> None:
    now: Any = int(stores._redis.time()[0])
    old = f'{{"ahead": 99, "at": {now - FORGET_SECONDS - 1}}}'
    stores._redis.hset("understudy:clocks", mapping={"old": old, "torn": '{"ahead"', "odd": "[]"})
    assert read_clocks(stores._redis) == {}
