"""Hidden states of word pieces: what a head that marks parts of a text reads.

Long texts are read in overlapping windows, and a piece is taken from the window where it is farthest from a cut: near
a cut the context is missing. The ends of the text itself are no cut.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.encoder.windows import Pieces, Window, Windows, in_chunks
from model.interfaces import EncoderCounters

if TYPE_CHECKING:
    from model.encoder.engine import Engine

LENGTH, STRIDE = 254, 160
"""Pieces of a window, and from one window's begin to the next's. Part of every feature: heads learn from them."""


@dataclass(frozen=True)
class TokenStates:
    """The word pieces of a text: the characters each covers [(start, end)], and float16 [pieces, layers, width]."""

    offsets: Sequence[tuple[int, int]]
    states: NDArray[np.float16]


@dataclass(frozen=True)
class _Part:
    """Pieces `start` to `end` of a text, which are one window."""

    text: int
    start: int
    end: int


def read_token_states(
    windows: Windows, engine: Engine, texts: Sequence[str], layers: Sequence[int], tally: EncoderCounters
) -> list[TokenStates]:
    """Of each text in turn."""
    began = time.perf_counter()
    pieces = windows.pieces(texts)
    before, after = windows.frame
    parts = _parts(pieces, window_pieces(windows))
    framed = [_frame(pieces[part.text], part, before, after) for part in parts]
    tokenised = time.perf_counter()
    found = [np.zeros((len(own.ids), len(layers), engine.width), np.float16) for own in pieces]
    centrality = [np.full(len(own.ids), -1) for own in pieces]
    waiting, forwards = iter(parts), 0
    for chunk in in_chunks(framed, engine.chunk_tokens):
        forwards += 1
        states = engine.token_states(chunk, layers).numpy()
        row = 0
        for window, part in zip(chunk, waiting, strict=False):
            first = row + len(before)
            _take(part, states[first : first + part.end - part.start], found[part.text], centrality[part.text])
            row += len(window.ids)
    tally.add(
        texts=len(texts),
        tokens=sum(len(window.ids) for window in framed),
        forwards=forwards,
        tokenise_seconds=tokenised - began,
        forward_seconds=time.perf_counter() - tokenised,
    )
    return [TokenStates(own.offsets, states) for own, states in zip(pieces, found, strict=True)]


def window_pieces(windows: Windows) -> int:
    """Most pieces of a text that are read at once."""
    before, after = windows.frame
    return min(LENGTH, windows.length - len(before) - len(after))


def _parts(pieces: Sequence[Pieces], length: int) -> list[_Part]:
    """The windows of all texts, the shortest first: the engine is fastest so."""
    parts = []
    step = max(1, min(STRIDE, length * STRIDE // LENGTH))
    for text, own in enumerate(pieces):
        count = len(own.ids)
        starts = [0] if count <= length else [*range(0, count - length, step), count - length]
        parts += [_Part(text, start, min(start + length, count)) for start in starts if count]
    return sorted(parts, key=lambda part: part.end - part.start)


def _frame(pieces: Pieces, part: _Part, before: list[int], after: list[int]) -> Window:
    ids = [*before, *pieces.ids[part.start : part.end], *after]
    return Window(part.text, ids, [0] * len(ids))


def _take(part: _Part, states: NDArray[np.float16], found: NDArray[np.float16], centrality: NDArray[np.int64]) -> None:
    """Keeps the states of those pieces that are farther from a cut here than in the windows before."""
    places = np.arange(part.start, part.end)
    left = places - part.start if part.start else len(found)
    right = part.end - 1 - places if part.end < len(found) else len(found)
    here = np.minimum(left, right)
    better = here > centrality[places]
    found[places[better]] = states[better]
    centrality[places[better]] = np.broadcast_to(here, places.shape)[better]
