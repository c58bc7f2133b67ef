"""Whether an automatic fine-tune is due. Pure: facts and clock in, reason out (policy: docs/learning.md)."""

from __future__ import annotations

from dataclasses import dataclass

from backend.settings import Settings

MANY_CLASSES = 50
"""Above this, one label per class is enough to begin with."""


@dataclass(frozen=True)
class Facts:
    """One project at one moment. `labels`: samples and `classes`: labels of its largest control; `trained_labels` and
    `trained_at` (epoch seconds) of the last fine-tune, None before the first; `changed`: labels changed since it."""

    labels: int
    classes: int
    now: float
    trained_labels: int | None = None
    trained_at: float = 0.0
    changed: bool = True
    running: bool = False
    pinned: bool = False


def why_due(policy: Settings, facts: Facts) -> str:
    """Why to fine-tune now, "" for not now."""
    if not policy.finetune_enabled or facts.running or facts.pinned or not facts.changed:
        return ""
    per_class = 1.0 if facts.classes > MANY_CLASSES else policy.finetune_min_per_class
    if facts.labels < max(policy.finetune_min_labels, per_class * facts.classes):
        return ""
    if facts.trained_labels is None:
        return f"first time, with {facts.labels} labels"
    if facts.labels >= facts.trained_labels * (1 + policy.finetune_growth):
        return f"{facts.labels} labels, up from {facts.trained_labels}"
    waited = (facts.now - facts.trained_at) / 60
    if policy.finetune_minutes and waited >= policy.finetune_minutes and facts.labels > facts.trained_labels:
        return f"new labels, and {waited:.0f} minutes since the last time"
    return ""
