"""What people are told of a teacher: by the doctor before texts leave, and by the command."""

from __future__ import annotations

from typing import Any

import pytest

from backend.cli.teacher.teach import describe_cost, describe_run
from backend.doctor.notifications import check_teacher
from backend.settings.settings import load_settings
from tests.support.teacher_server import teaching


def verdicts(**given: Any) -> list[tuple[str, str]]:
    known = load_settings().model_copy(update={"teacher_model": "m", **given})
    return [(one.state, f"{one.check} {one.evidence}") for one in check_teacher(known)]


def test_the_doctor_says_what_would_leave_and_sends_nothing() -> None:
    assert verdicts() == []
    with teaching(lambda _: {}) as server:
        ((state, said),) = verdicts(teacher_url=server.url)
        assert state == "ok" and "500 texts" in said and server.url.removeprefix("http://") in said
        assert verdicts(teacher_url=server.url, teacher_model="")[0][0] == "fail"
        assert server.seen == []
    assert verdicts(teacher_url="http://127.0.0.1:9/v1")[0][0] == "fail"


RUN: Any = {
    **{"id": "teach-7-1", "status": "running", "step": 10, "of": 500, "answered": 8, "bad": 2, "tokens": 4200},
    "requests": 11,
    "money": 0.42,
    **{"message": "it is asked too often", "error": "teacher_unavailable", "retry_in": 30.0},
}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"host": "", "model": "", "run": None}, "no text leaves this machine"),
        ({"host": "h", "model": "m", "run": None}, "was not asked"),
        ({"host": "h", "model": "m", "run": RUN, "kept": {"topic": False}}, "left out by the labels: topic"),
        (
            {"host": "h", "model": "m", "run": RUN},
            "8 answered, 2 unusable, 11 requests, 4,200 tokens, about 0.42 in TEACHER_PRICE's money: it is asked",
        ),
    ],
)
def test_the_command_says_how_far_it_is(answer: Any, said: str) -> None:
    assert said in describe_run(answer)


def test_the_command_says_the_cost_before() -> None:
    cost: Any = {"requests": 500, "tokens": 130_000, "questions": ["topic"], "money": 0.02}
    said = describe_cost({"host": "h", "model": "m", "run": None, "cost": cost})
    assert "500 texts to h (m), about 130,000 tokens, about 0.02" in said and "Nothing was sent" in said
