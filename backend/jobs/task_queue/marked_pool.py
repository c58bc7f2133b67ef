"""What the head of a control that marks text says of the pool: how unsure each text is, and what it is like."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.acquisition.span_doubts import mean_state
from model.numerics.arrays import Floats
from model.texts import portions

if TYPE_CHECKING:
    from model.spans.features.reading import ReadText
    from model.spans.head.head import Suggestions
    from model.versions.live_model import LiveModel

PORTION_TEXTS, PORTION_CHARACTERS = 64, 32_000
"""Texts whose word states are in memory at once: 2 KB a word."""


@dataclass(frozen=True)
class MarkedPool:
    """The first `count` texts, as far as time allowed. `doubts` [count]: clicks in doubt for each word that is read;
    `features` [count, width]: mean word states; `confidence` [count]: that a text is right as it is shown; `said`: its
    spans in words."""

    doubts: Floats
    features: Floats
    confidence: Floats
    said: list[tuple[str, ...]]

    @property
    def count(self) -> int:
        """How many texts were read."""
        return len(self.said)

    def take(self, rows: NDArray[np.int64]) -> MarkedPool:
        """Some of the rows."""
        said = [self.said[row] for row in rows]
        return MarkedPool(self.doubts[rows], self.features[rows], self.confidence[rows], said)


def read_marked_pool(
    model: LiveModel,
    control: str,
    texts: Sequence[str],
    until: float,
    is_wanted: Callable[[], bool],
    questions: Sequence[str] = (),
) -> MarkedPool:
    """Of as many texts as can be read before `until` (of the monotonic clock); at least of one portion. Ends early when
    somebody else waits (`is_wanted`). `questions`: of each text, where the control asks one."""
    tools = model.tools
    assert tools is not None  # there is a head
    pairs = list(zip_longest(texts, questions, fillvalue=""))
    rows: list[tuple[float, Floats, float, tuple[str, ...]]] = []
    for portion in portions(pairs, lambda own: len(own[0]), texts=PORTION_TEXTS, characters=PORTION_CHARACTERS):
        rows += [_row(text, own) for text, own in model.look(control, portion)]
        if time.monotonic() > until or is_wanted():
            break
    doubts = np.array([row[0] for row in rows], dtype=float)
    width = len(rows[0][1]) if rows else tools.reader.width
    features = np.array([row[1] for row in rows], dtype=np.float32).reshape(len(rows), width)
    confidence = np.array([row[2] for row in rows], dtype=float)
    return MarkedPool(doubts, features, confidence, [row[3] for row in rows])


def _row(text: ReadText, own: Suggestions) -> tuple[float, Floats, float, tuple[str, ...]]:
    return (
        own.uncertainty,
        mean_state(text),
        own.score,
        tuple(f"{one.start}-{one.end} {one.label}" for one in own.spans),
    )
