"""When a queue is planned anew, and what its versions are called."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from backend.rules.queue_due import (
    OFF_SECONDS,
    QueueFacts,
    base_title,
    queue_number,
    queue_version,
    stale_versions,
    why_plan,
)
from backend.settings.settings import Settings, Strategy
from model.acquisition.strategies import DEFAULT_STRATEGY, STRATEGIES

POLICY = Settings(queue_seconds=30.0, queue_size=64, queue_growth=0.1)
PLANNED = QueueFacts(
    now=1000.0,
    live=(1, 7),
    answers=100,
    known=2000,
    planned_at=900.0,
    planned_live=(1, 7),
    planned_answers=100,
    planned_known=2000,
    size=64,
    open=1900,
)


def test_nothing_is_due_while_nothing_changes() -> None:
    assert why_plan(POLICY, PLANNED) == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"planned_at": None}, "first plan"),
        ({"answers": 132}, "32 of 64 queued tasks"),
        ({"answers": 111, "live": (1, 8)}, "11 new answers"),
        ({"live": (2, 0)}, "another fine-tuned encoder"),
        ({"live": (0, 3)}, "another fine-tuned encoder"),
        ({"live": (1, 5)}, "went back"),
        ({"known": 3000}, "3000 texts are known"),
    ],
)
def test_what_makes_a_plan_due(change: dict[str, object], reason: str) -> None:
    assert reason in why_plan(POLICY, replace(PLANNED, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"answers": 109, "live": (1, 8)},  # under a tenth more
        {"answers": 131},  # fewer than half, and the model is the same
        {"answers": 140, "open": 60},  # all that is left is in the queue already
        {"answers": 132, "now": 920.0},  # too soon
        {"live": None},
        {"known": 0},
        {"planned_at": None, "off_at": 990.0},
        {"answers": 90},  # deleted
    ],
)
def test_what_does_not(change: dict[str, object]) -> None:
    assert why_plan(POLICY, replace(PLANNED, **change)) == ""  # type: ignore[arg-type]


def test_a_queue_that_runs_dry_does_not_wait() -> None:
    facts = replace(PLANNED, now=906.0, answers=150)
    assert "50 of 64" in why_plan(POLICY, facts)
    assert why_plan(POLICY, replace(facts, now=904.0)) == ""


def test_whether_it_is_steered_is_looked_at_again() -> None:
    facts = replace(PLANNED, planned_at=None, off_at=1000.0 - OFF_SECONDS)
    assert why_plan(POLICY, facts) == "first plan"
    assert why_plan(POLICY, replace(facts, off_at=2000.0)) == "first plan", "a clock that was set back"


def test_switched_off() -> None:
    assert why_plan(Settings(queue_enabled=False), replace(PLANNED, planned_at=None)) == ""


def test_names_of_queue_versions() -> None:
    name = queue_version("understudy", 7)
    assert queue_version(name, 8) == "understudy queue 8"
    assert (base_title(name), queue_number(name)) == ("understudy", 7)
    assert (base_title("my queue"), queue_number("my queue")) == ("my queue", 0)
    assert queue_number("v3.17") == 0
    present = ["v0.1", "understudy queue 12", "understudy queue 9", "other queue 3", "understudy queue 13", "queue"]
    kept = {"understudy queue 13", "understudy queue 12"}
    assert stale_versions(present, "understudy queue 13", kept) == ["understudy queue 9"]


def test_the_setting_names_the_strategies_there_are() -> None:
    assert set(get_args(Strategy)) == set(STRATEGIES)
    assert Settings().queue_strategy == DEFAULT_STRATEGY
