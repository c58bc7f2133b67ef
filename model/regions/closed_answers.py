"""Free text as a closed set of answers: what people wrote more than once, however they wrote it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from model.labels import key_of, path_of
from model.spec import NONE

LEAST = 2
"""Regions that have to be answered alike."""


def close_answers(targets: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """The targets with each answer as it is written most often, case aside; what was written once counts as none of
    these, since nothing can be suggested of it."""
    writings: dict[str, Counter[str]] = {}
    for target in targets:
        for key in target:
            if key != NONE:
                writings.setdefault(_folded(key), Counter())[key] += 1
    usual = {
        folded: min(counts, key=lambda key: (-counts[key], key))
        for folded, counts in writings.items()
        if counts.total() >= LEAST
    }
    found = []
    for target in targets:
        closed: dict[str, float] = {}
        for key, share in target.items():
            name = usual.get(_folded(key), NONE)
            closed[name] = closed.get(name, 0.0) + share
        found.append(closed)
    return found


def _folded(key: str) -> str:
    return key_of([part.casefold() for part in path_of(key)])
