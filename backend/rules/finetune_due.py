"""Whether an automatic fine-tune is due. Pure: facts and clock in, reason out (policy: docs/learning.md)."""

from __future__ import annotations

from dataclasses import dataclass

from backend.settings.settings import Settings

MANY_CLASSES = 50
"""Above this, one label per class is enough to begin with."""

LEAST_GROWTH_SHARE = 0.2
"""Share of FINETUNE_GROWTH without which the passing of time makes nothing due: one label an hour is no reason."""

MOST_BACK_OFF = 4
"""Refusals in a row double the growth that is asked for, up to this factor: 100 % with a growth of 25 %."""


@dataclass(frozen=True)
class Facts:
    """One project at one moment. `labels`: samples and `classes`: labels of its largest control; `trained_labels` and
    `trained_at` (epoch seconds) of the last fine-tune, None before the first; `changed`: labels changed since it;
    `refusals`: the last fine-tunes in a row that came to nothing (refused, failed, cancelled, withdrawn)."""

    labels: int
    classes: int
    now: float
    trained_labels: int | None = None
    trained_at: float = 0.0
    changed: bool = True
    running: bool = False
    pinned: bool = False
    refusals: int = 0


def why_due(policy: Settings, facts: Facts) -> str:
    """Why to fine-tune now, "" for not now."""
    if not policy.finetune_enabled or facts.running or facts.pinned or not facts.changed:
        return ""
    per_class = 1.0 if facts.classes > MANY_CLASSES else policy.finetune_min_per_class
    if facts.labels < max(policy.finetune_min_labels, per_class * facts.classes):
        return ""
    if facts.trained_labels is None:
        return f"first time, with {facts.labels} labels"
    if facts.labels <= facts.trained_labels:
        return ""  # with a growth of 0, a refusal would be repeated on the same labels
    back_off = min(MOST_BACK_OFF, 2 ** max(0, facts.refusals - 1))
    if facts.labels >= facts.trained_labels * (1 + policy.finetune_growth * back_off):
        return f"{facts.labels} labels, up from {facts.trained_labels}"
    if facts.refusals:
        return ""  # time alone changes no verdict
    waited = (facts.now - facts.trained_at) / 60
    trickle = facts.trained_labels * (1 + LEAST_GROWTH_SHARE * policy.finetune_growth)
    if policy.finetune_minutes and waited >= policy.finetune_minutes and facts.labels >= trickle:
        return f"{facts.labels - facts.trained_labels} new labels, and {waited:.0f} minutes since the last time"
    return ""
