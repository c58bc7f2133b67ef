"""Whether an automatic fine-tune is due. Pure: facts and clock in, reason out (policy: docs/learning.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from backend.settings.settings import Settings

MANY_CLASSES = 50
"""Above this, one label per class is enough to begin with."""

LEAST_GROWTH_SHARE = 0.2
"""Share of FINETUNE_GROWTH without which the passing of time makes nothing due: one label an hour is no reason."""

MOST_BACK_OFF = 4
"""Refusals in a row double the growth that is asked for, up to this factor: 100 % with a growth of 25 %."""


MARKED_TEXTS, MARKED_GROWTH = 64, 0.5
"""Annotated texts from which a fine-tune is due for marked text, and growth from which the next is. At 64 it saves
edits on one set of three, at 256 on three of four: more of them would mostly be refused, and each takes minutes."""


@dataclass(frozen=True)
class Facts:
    """One project at one moment. `labels`: samples and `classes`: labels of its largest control (`marked`: texts and
    labels of the largest one that marks text); `trained_labels` and
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
    marked: bool = False


def why_due(policy: Settings, facts: Facts) -> str:
    """Why to fine-tune now, "" for not now."""
    if not policy.finetune_enabled or facts.running or facts.pinned or not facts.changed:
        return ""
    if facts.labels < _fewest(policy, facts):
        return ""
    what = "annotated texts" if facts.marked else "labels"
    if facts.trained_labels is None:
        return f"first time, with {facts.labels} {what}"
    if facts.labels <= facts.trained_labels:
        return ""  # with a growth of 0, a refusal would be repeated on the same labels
    if facts.labels >= _grown(policy, facts):
        return f"{facts.labels} {what}, up from {facts.trained_labels}"
    if facts.refusals:
        return ""  # time alone changes no verdict
    waited = (facts.now - facts.trained_at) / 60
    trickle = facts.trained_labels * (1 + LEAST_GROWTH_SHARE * _growth(policy, facts))
    if policy.finetune_minutes and waited >= policy.finetune_minutes and facts.labels >= trickle:
        return f"{facts.labels - facts.trained_labels} new {what}, and {waited:.0f} minutes since the last time"
    return ""


def next_due(policy: Settings, facts: Facts) -> int | None:
    """The number of labels at which the next one is due whatever the time; None while nothing makes one due."""
    if not policy.finetune_enabled or facts.pinned:
        return None
    return max(math.ceil(max(_fewest(policy, facts), _grown(policy, facts))), (facts.trained_labels or 0) + 1)


def _growth(policy: Settings, facts: Facts) -> float:
    return max(policy.finetune_growth, MARKED_GROWTH) if facts.marked else policy.finetune_growth


def _grown(policy: Settings, facts: Facts) -> float:
    """Labels to which those of the last fine-tune must have grown."""
    back_off = min(MOST_BACK_OFF, 2 ** max(0, facts.refusals - 1))
    return (facts.trained_labels or 0) * (1 + _growth(policy, facts) * back_off)


def _fewest(policy: Settings, facts: Facts) -> float:
    """Labels or texts from which the first one is due."""
    if facts.marked:
        return max(policy.finetune_min_labels, MARKED_TEXTS)
    per_class = 1.0 if facts.classes > MANY_CLASSES else policy.finetune_min_per_class
    return max(policy.finetune_min_labels, per_class * facts.classes)
