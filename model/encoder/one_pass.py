"""Pooled outputs and word pieces' states of the same texts from one forward pass: where both choices and spans are
asked for, a text is not computed twice."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.encoder.token_states import TokenStates, window_pieces
from model.encoder.windows import Window, Windows, in_chunks
from model.interfaces import EncoderCounters

if TYPE_CHECKING:
    from model.encoder.engine import Engine


def read_whole(
    windows: Windows, engine: Engine, texts: Sequence[str], layers: Sequence[int], tally: EncoderCounters
) -> dict[int, tuple[NDArray[np.float32], TokenStates]]:
    """Of those texts that are one window for either, by their places: pooled outputs [depth, width] and states."""
    began = time.perf_counter()
    if not windows.is_plain:
        return {}
    before, after = windows.frame
    most = window_pieces(windows)
    pieces = windows.pieces(texts)
    whole = sorted(
        (place for place, own in enumerate(pieces) if len(own.ids) <= most), key=lambda i: len(pieces[i].ids)
    )
    framed = [[*before, *pieces[place].ids, *after] for place in whole]
    waiting = [Window(place, ids, [0] * len(ids)) for place, ids in zip(whole, framed, strict=True)]
    tokenised = time.perf_counter()
    found, forwards = {}, 0
    for chunk in in_chunks(waiting, engine.chunk_tokens):
        forwards += 1
        pooled, states = (tensor.numpy() for tensor in engine.both(chunk, layers))
        first = len(before)
        for window, row in zip(chunk, pooled, strict=True):
            own = pieces[window.text]
            found[window.text] = row, TokenStates(own.offsets, states[first : first + len(own.ids)])
            first += len(window.ids)
    tally.add(
        texts=len(whole),
        tokens=sum(map(len, framed)),
        forwards=forwards,
        tokenise_seconds=tokenised - began,
        forward_seconds=time.perf_counter() - tokenised,
    )
    return found
