"""When a fine-tune is due."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.rules.finetune_due import Facts, next_due, why_due
from backend.settings.settings import Settings

POLICY = Settings()
READY = Facts(labels=64, classes=8, now=10_000.0)
LONG_AGO = 10_000.0 - 31 * 60


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        ({}, "first time"),
        ({"labels": 39}, ""),
        ({"labels": 31, "classes": 2}, ""),
        ({"labels": 60, "classes": 60}, "first time"),
        ({"running": True}, ""),
        ({"pinned": True}, ""),
        ({"changed": False}, ""),
        ({"trained_labels": 52, "trained_at": 9_990.0}, ""),
        ({"trained_labels": 51, "trained_at": 9_990.0}, "up from 51"),
        ({"trained_labels": 60, "trained_at": LONG_AGO}, "4 new labels, and 31 minutes"),
        ({"trained_labels": 60, "trained_at": LONG_AGO + 120}, ""),
        ({"trained_labels": 63, "trained_at": LONG_AGO}, ""),
        ({"trained_labels": 64, "trained_at": 0.0}, ""),
        ({"trained_labels": 60, "trained_at": LONG_AGO, "refusals": 1}, ""),
        ({"trained_labels": 51, "refusals": 1}, "up from 51"),
        ({"trained_labels": 51, "refusals": 2}, ""),
        ({"trained_labels": 42, "refusals": 2}, "up from 42"),
        ({"trained_labels": 32, "refusals": 9}, "up from 32"),
        ({"trained_labels": 33, "refusals": 9}, ""),
    ],
)
def test_due(changes: dict[str, float], due: str) -> None:
    reason = why_due(POLICY, replace(READY, **changes))  # type: ignore[arg-type]
    assert bool(reason) == bool(due) and due in reason


MARKED = Facts(labels=64, classes=4, now=10_000.0, marked=True)


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        ({}, "first time, with 64 annotated texts"),
        ({"labels": 63}, ""),
        ({"labels": 64, "classes": 150}, "first time"),
        ({"labels": 95, "trained_labels": 64, "trained_at": 9_990.0}, ""),
        ({"labels": 96, "trained_labels": 64, "trained_at": 9_990.0}, "96 annotated texts, up from 64"),
        ({"labels": 127, "trained_labels": 64, "refusals": 2}, ""),
        ({"labels": 128, "trained_labels": 64, "refusals": 2}, "up from 64"),
        ({"labels": 70, "trained_labels": 64, "trained_at": LONG_AGO}, ""),
        ({"labels": 71, "trained_labels": 64, "trained_at": LONG_AGO}, "7 new annotated texts, and 31 minutes"),
    ],
)
def test_marked_text_is_due_from_64_texts_and_at_half_as_many_more(changes: dict[str, float], due: str) -> None:
    reason = why_due(POLICY, replace(MARKED, **changes))  # type: ignore[arg-type]
    assert bool(reason) == bool(due) and due in reason


def test_it_can_be_switched_off() -> None:
    assert why_due(POLICY.model_copy(update={"finetune_enabled": False}), READY) == ""


def test_the_same_labels_are_never_trained_on_twice_whatever_the_growth() -> None:
    eager = POLICY.model_copy(update={"finetune_growth": 0.0})
    assert why_due(eager, replace(READY, trained_labels=64, refusals=1)) == ""
    assert why_due(eager, replace(READY, trained_labels=63, refusals=1)) != ""


def count_trainings(accepted: bool, minutes_a_label: float, until: int = 300) -> int:
    """Fine-tunes while labels trickle in, each judged alike."""
    trainings, last, last_at, refusals = 0, None, 0.0, 0
    for labels in range(32, until):
        now = labels * minutes_a_label * 60
        if why_due(POLICY, Facts(labels, 2, now, last, last_at, refusals=refusals)):
            trainings, last, last_at = trainings + 1, labels, now
            refusals = 0 if accepted else refusals + 1
    return trainings


def test_a_trickle_of_labels_is_no_loop() -> None:
    """One label an hour for eleven days: without the growth rule, 268 trainings."""
    assert count_trainings(accepted=False, minutes_a_label=60) == 5, "32, 40, 60, 120 and 240 labels"
    assert count_trainings(accepted=True, minutes_a_label=60) == 42, "5 % growth each"
    assert count_trainings(accepted=True, minutes_a_label=0.1) == 10


@pytest.mark.parametrize("ready", [READY, MARKED], ids=["labels", "texts"])
@pytest.mark.parametrize("trained", [None, 32, 51, 64, 1000])
@pytest.mark.parametrize("refusals", [0, 1, 2, 9])
@pytest.mark.parametrize("growth", [0.01, 0.25, 1.0])
def test_what_is_told_to_come_next_is_when_it_comes(
    ready: Facts, trained: int | None, refusals: int, growth: float
) -> None:
    policy = POLICY.model_copy(update={"finetune_growth": growth, "finetune_minutes": 0.0})
    facts = replace(ready, trained_labels=trained, refusals=refusals if trained else 0, trained_at=ready.now)
    at = next_due(policy, facts)
    assert at is not None and why_due(policy, replace(facts, labels=at))
    assert not why_due(policy, replace(facts, labels=at - 1))


def test_nothing_comes_next_while_a_version_is_pinned_or_fine_tunes_are_off() -> None:
    assert next_due(POLICY, replace(READY, pinned=True)) is None
    assert next_due(POLICY.model_copy(update={"finetune_enabled": False}), READY) is None
