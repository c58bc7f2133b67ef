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

from model.encoder.windows import Windows, in_chunks
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


def read_answers(
    windows: Windows, engine: Engine, head: AnsweringHead, pairs: Sequence[tuple[str, str]], layer: int
) -> list[TaughtAnswers]:
    """Of each (passage, question) in turn; `layer`: the encoder's last."""
    asked = [(question[: windows.length // QUESTION_SHARE], passage) for passage, question in pairs]
    parts = windows.pairs(asked, STRIDE)
    order = sorted(range(len(parts)), key=lambda place: len(parts[place].window.ids))
    found: list[dict[tuple[int, int], NDArray[np.float32]]] = [{} for _ in pairs]
    none = [np.inf] * len(pairs)
    waiting = iter(order)
    for chunk in in_chunks([parts[place].window for place in order], engine.chunk_tokens):
        states = engine.token_states(chunk, (layer,)).numpy()[:, 0]
        row = 0
        for window in chunk:
            part = parts[next(waiting)]
            scores = head.scores(states[row : row + len(window.ids)])
            row += len(window.ids)
            own = found[window.text]
            none[window.text] = min(none[window.text], float(scores[0].sum()))
            for place, offsets in part.passage:
                known = own.get(offsets)
                own[offsets] = scores[place] if known is None else np.maximum(known, scores[place])
    return [
        TaughtAnswers(
            sorted(own), np.array([own[place] for place in sorted(own)], np.float32).reshape(-1, 2), float(least)
        )
        for own, least in zip(found, none, strict=True)
    ]
