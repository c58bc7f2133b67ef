"""How much two versions' answers to the same unlabelled tasks agree: learning has settled when they do. Pure numpy."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypedDict

import numpy as np

SETTLED_KAPPA = 0.99
"""Mean kappa from which answers count as settled, over WINDOW_PLANS plans (Bloodgood and Vijay-Shanker 2009)."""

WINDOW_PLANS = 3


class Agreement(TypedDict):
    """Kappa of two plans' answers to `n` tasks, and how many of them changed."""

    kappa: float
    n: int
    changed: int


def cohen_kappa(before: Sequence[Hashable], after: Sequence[Hashable]) -> float:
    """Cohen's kappa of two answers to each of n tasks: agreement beyond what their shares of answers would give.

    Of any kind that hashes (a set of labels as its sorted tuple or joined string). 1.0 where everything is one and
    the same answer, and for no task at all. Raises ValueError when the lengths differ."""
    if len(before) != len(after):
        raise ValueError(f"{len(before)} answers cannot be compared with {len(after)}")
    if not len(before):
        return 1.0
    numbers: dict[Hashable, int] = {}
    first, second = ([numbers.setdefault(answer, len(numbers)) for answer in side] for side in (before, after))
    shares = [np.bincount(side, minlength=len(numbers)) / len(before) for side in (first, second)]
    by_chance = float(shares[0] @ shares[1])
    if by_chance >= 1.0:
        return 1.0
    observed = float(np.mean(np.array(first) == np.array(second)))
    return (observed - by_chance) / (1 - by_chance)


def compare_answers(before: Sequence[Hashable], after: Sequence[Hashable]) -> Agreement:
    """kappa, n, and how many answers changed."""
    changed = sum(old != new for old, new in zip(before, after, strict=True))
    return {"kappa": round(cohen_kappa(before, after), 4), "n": len(before), "changed": changed}


def are_settled(kappas: Sequence[float]) -> bool:
    """Whether the last WINDOW_PLANS agreements, oldest first, are those of a model that does not change any more."""
    return len(kappas) >= WINDOW_PLANS and float(np.mean(kappas[-WINDOW_PLANS:])) >= SETTLED_KAPPA
