"""Who is fine-tuned first where several projects wait."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from backend.rules.training.facts import find_gain, find_loss
from backend.rules.training.order import LONGEST_WAIT_SECONDS, Waiting, expect_gain, put_in_order
from tests.support.training_queue import by_gain, first_come, simulate

ONE = Waiting("one", waited=60, labels=100, trained=50, loss=0.4)


def test_accuracy_over_many_projects_rises_sooner_than_first_come_first_served() -> None:
    """Simulated with measured fine-tunes, three days; the figures: `python -m bench.finetune --queue`."""
    for hour, factor in ((0.5, 1.5), (2, 1.5)):
        first, best = (sum(simulate(order, seed).at(hour) for seed in range(3)) for order in (first_come, by_gain))
        assert best > factor * first, hour


def test_the_newest_labels_tell_the_loss_and_the_gate_the_gain() -> None:
    def row(stage: int, **values: float) -> dict[str, float]:
        return {json.dumps(["label", stage, what]): value for what, value in values.items()}

    tallies = {**row(4, n=50, correct=10, log_loss=80), **row(6, n=15, log_loss=9), **row(7, n=10, log_loss=1)}
    assert find_loss(tallies) == pytest.approx(0.4), "of the last 25"
    assert find_loss(row(3, n=5, log_loss=1)) is None and find_loss({}) is None
    assert find_loss(row(9, n=40, log_loss=1, hits=8, found=10, wanted=30)) == pytest.approx(0.6)
    evidence = {"n": 60, "champion": {"log_loss": 0.5}, "challenger": {"log_loss": 0.4}}
    verdict: Any = {"accepted": True, "decided": True, "reason": "", "evidence": evidence}
    unseen: Any = {**verdict, "evidence": {"n": 5}}
    assert find_gain({"a": verdict, "b": unseen}) == (60, 0.2) and find_gain({}) == (0, 0.0)


@pytest.mark.parametrize(
    "better",
    [
        {"trained": 0},
        {"labels": 200},
        {"loss": 0.8},
        {"share": 0.2, "rows": 100},
    ],
)
def test_more_is_expected_of(better: dict[str, float]) -> None:
    more = replace(ONE, job="more", waited=0, **better)  # type: ignore[arg-type]
    assert expect_gain(more) > expect_gain(ONE)
    assert [place.job for place in put_in_order([ONE, more])] == ["more", "one"], "though it came later"


@pytest.mark.parametrize("worse", [{"refusals": 1}, {"share": -0.2, "rows": 100}, {"labels": 51}, {"loss": 0.01}])
def test_less_is_expected_of(worse: dict[str, float]) -> None:
    assert 0 < expect_gain(replace(ONE, **worse)) < expect_gain(ONE)  # type: ignore[arg-type]


def test_few_rows_say_little() -> None:
    few, many = (replace(ONE, share=0.3, rows=rows) for rows in (20, 2000))
    assert expect_gain(ONE) < expect_gain(few) < 1.5 * expect_gain(ONE) < expect_gain(many)


def test_people_go_first_then_who_has_waited_too_long_and_equals_in_turn() -> None:
    asked = Waiting("asked", waited=1, asked=True, loss=0.0, labels=10, trained=10)
    long = Waiting("long", waited=LONGEST_WAIT_SECONDS, refusals=9)
    late = replace(ONE, job="late", waited=30)
    places = put_in_order([late, long, ONE, asked])
    assert [place.job for place in places] == ["asked", "long", "one", "late"]
    assert [place.why for place in places[:3]] == [
        "somebody asked for it",
        "it has waited for 240 minutes",
        "expected to gain 0.0100: 100 labels, up from 50, log-loss 0.40",
    ]
