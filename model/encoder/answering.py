"""What a base model with a question-answering head says of a question and a passage, which it reads as one pair.

Long passages are read in overlapping windows, each with the question before it. A piece in several windows keeps its
best scores, and no answer the least, as `transformers` puts the windows together: an answer in one of them is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.encoder.windows import LONGEST_PAIR, PairWindow, Windows, in_chunks
from model.pretrained.answering_head import AnsweringHead

if TYPE_CHECKING:
    from model.encoder.engine import Engine

STRIDE = 128
"""Tokens shared by neighbouring windows."""

QUESTION_SHARE = 2
"""A question takes at most one in so many tokens of a window, counted in its characters: what is longer is cut."""


@dataclass(frozen=True)
class TaughtAnswers:
    """Of one question: the characters of each piece of the passage, its scores as first and last [pieces, 2], and the
    score of no answer."""

    offsets: Sequence[tuple[int, int]]
    scores: NDArray[np.float32] = field(repr=False)
    none: float


def pair_windows(windows: Windows, pairs: Sequence[tuple[str, str]]) -> list[PairWindow]:
    """The windows of each (passage, question), as they are read."""
    longest = min(windows.length, LONGEST_PAIR) // QUESTION_SHARE
    return windows.pairs([(question[:longest], passage) for passage, question in pairs], STRIDE)


def read_answers(
    windows: Windows, engine: Engine, heads: Sequence[AnsweringHead], pairs: Sequence[tuple[str, str]], layer: int
) -> list[list[TaughtAnswers]]:
    """Of each (passage, question) in turn, what each of the heads says; `layer`: the encoder's last."""
    parts = pair_windows(windows, pairs)
    order = sorted(range(len(parts)), key=lambda place: len(parts[place].window.ids))
    found: list[dict[tuple[int, int], NDArray[np.float32]]] = [{} for _ in pairs]
    none = np.full((len(pairs), len(heads)), np.inf)
    waiting = iter(order)
    for chunk in in_chunks([parts[place].window for place in order], engine.chunk_tokens):
        states = engine.token_states(chunk, (layer,)).numpy()[:, 0]
        row = 0
        for window in chunk:
            part, own_states = parts[next(waiting)], states[row : row + len(window.ids)]
            scores = np.stack([head.scores(own_states) for head in heads], axis=1)  # [tokens, heads, 2]
            row += len(window.ids)
            own = found[window.text]
            none[window.text] = np.minimum(none[window.text], scores[0].sum(1))
            for place, offsets in part.passage:
                known = own.get(offsets)
                own[offsets] = scores[place] if known is None else np.maximum(known, scores[place])
    return [_by_head(own, least) for own, least in zip(found, none, strict=True)]


def _by_head(found: dict[tuple[int, int], NDArray[np.float32]], none: NDArray[np.float64]) -> list[TaughtAnswers]:
    """The scores of one pair's pieces [heads, 2] each, and of no answer [heads], head by head."""
    places = sorted(found)
    scores = np.array([found[place] for place in places], np.float32).reshape(len(places), len(none), 2)
    return [TaughtAnswers(places, scores[:, head], float(least)) for head, least in enumerate(none)]
