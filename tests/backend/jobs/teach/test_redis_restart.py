"""Redis is killed while a teacher is asked: what it had said is there, and the run goes on."""

from __future__ import annotations

from typing import Any

import pytest

from backend.jobs.teach import questions
from backend.jobs.teach.questions import teach
from tests.backend.conftest import PROJECT, Labels
from tests.backend.jobs.teach.test_teach import POOL, School
from tests.conftest import RedisServer
from tests.support.teacher_server import teaching


@pytest.fixture
def redis_server(own_redis: RedisServer) -> RedisServer:
    """A server that may be killed."""
    return own_redis


def test_redis_killed_amid_a_run_costs_no_answer(
    context: Any, labels: Labels, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    school = School(context, labels, monkeypatch)
    with teaching(school.right) as server:
        school.hire(server)
        run = school.begin()
        monkeypatch.setattr(questions, "STRETCH_SECONDS", 0.0)
        assert [teach(PROJECT, run) for _ in range(3)] == ["goes on"] * 3
        redis_server.kill()
        redis_server.start()
        assert (school.record["next"], school.record["answered"]) == (3, 3)
        monkeypatch.setattr(questions, "STRETCH_SECONDS", 60.0)
        assert school.go(run).startswith("done") and len(server.seen) == len(POOL)
