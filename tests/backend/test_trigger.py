"""When a fine-tune is due."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.settings import Settings
from backend.trigger import Facts, why_due

POLICY = Settings()
READY = Facts(labels=64, classes=8, now=10_000.0)


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
        ({"trained_labels": 63, "trained_at": 10_000.0 - 31 * 60}, "31 minutes"),
        ({"trained_labels": 64, "trained_at": 0.0}, ""),
    ],
)
def test_due(changes: dict[str, float], due: str) -> None:
    reason = why_due(POLICY, replace(READY, **changes))  # type: ignore[arg-type]
    assert bool(reason) == bool(due) and due in reason


def test_it_can_be_switched_off() -> None:
    assert why_due(POLICY.model_copy(update={"finetune_enabled": False}), READY) == ""
