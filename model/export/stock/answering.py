"""What a version answers for its student, in the time that there is for all of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeVar

import numpy as np

from model.export.stock.distil import Tell

Text = TypeVar("Text")
Answer = TypeVar("Answer")

ANSWERING_SHARE = 0.25
"""Of the time, that answering takes at most: teaching gets the rest."""

PORTION_TEXTS = 256

LEAST_ASKED = 64
"""Texts that are answered however long it takes: a student of fewer learns nothing."""


@dataclass(frozen=True)
class Clock:
    """`seconds` for all: answering, teaching, and comparing at the end."""

    seconds: float
    began: float

    @classmethod
    def start(cls, seconds: float) -> Clock:
        """From now on."""
        return cls(seconds, monotonic())

    def left(self) -> float:
        """Seconds, from 0 on."""
        return max(0.0, self.began + self.seconds - monotonic())


@dataclass(frozen=True)
class Answered(Generic[Text, Answer]):
    """`texts` in their order, each with its answer; `unasked`: how many there was no time for; `pace`: seconds a
    text."""

    texts: list[Text]
    answers: list[Answer]
    unasked: int
    pace: float


def ask(
    texts: Sequence[Text], answer: Callable[[list[Text]], Sequence[Answer]], clock: Clock, seed: int, tell: Tell
) -> Answered[Text, Answer]:
    """All texts, or as many as ANSWERING_SHARE of what is left is enough for, drawn at random."""
    began, enough = monotonic(), ANSWERING_SHARE * clock.left()
    order = np.random.default_rng(seed).permutation(len(texts)).tolist()
    found: dict[int, Answer] = {}
    line = f"asking the version about {len(texts)} texts"
    tell(line)
    while len(found) < len(texts):
        spent = monotonic() - began
        size = min(PORTION_TEXTS if found else LEAST_ASKED, len(texts) - len(found))  # the first ones tell the pace
        if found and spent + size * spent / len(found) > enough:
            break
        chosen = order[len(found) : len(found) + size]
        found |= zip(chosen, answer([texts[place] for place in chosen]), strict=True)
        tell(line, len(found), len(texts))
    pace = (monotonic() - began) / max(1, len(found))
    unasked = len(texts) - len(found)
    if unasked:
        tell(f"there was time for {len(found)} of them: {ANSWERING_SHARE:.0%} of it is for this")
    places = sorted(found)
    return Answered([texts[place] for place in places], [found[place] for place in places], unasked, pace)


def teaching_seconds(clock: Clock, pace: float, compared: int) -> float:
    """What is left but for comparing so many texts at the end: the version and the student answer each."""
    return max(0.0, clock.left() - 2 * pace * compared)
