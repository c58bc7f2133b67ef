"""Texts by their content: a key for the same segments everywhere, their size, and portions that none waits long for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import xxhash

from model.interfaces import USUAL_COST, Embedder
from model.spec import Text


def text_key(text: Text) -> bytes:
    """16 bytes that name a text: the same for the same segments, whatever the process or machine."""
    parts = [part.encode("utf-8", "surrogatepass") for part in text]
    return xxhash.xxh3_128(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()


T = TypeVar("T")

BATCH_TEXTS = 16
"""Large enough for the matrix products, small enough for others to come in between."""

BATCH_CHARACTERS = 8_000
"""About the 2,000 tokens of one forward of the encoder: half a second on a core, where sixteen long texts take ten.
Both bounds are those of an encoder of the usual cost."""

LEAST_SHARE = 0.25
"""Of both bounds, for encoders that cost more: below, a matrix product spends its time on fetching the weights."""

ON_GPU = 32
"""Times both bounds: a GPU that gets sixteen texts at a time spends its time on starting its work."""

Bounds = tuple[int, int]
"""(texts, characters) of a portion."""


def bounds_for(encoder: Embedder) -> Bounds:
    """The texts and characters of one short call of this encoder."""
    if encoder.device.startswith("cuda"):
        return BATCH_TEXTS * ON_GPU, BATCH_CHARACTERS * ON_GPU
    share = min(1.0, max(LEAST_SHARE, USUAL_COST / max(1, encoder.cost)))
    return round(BATCH_TEXTS * share), round(BATCH_CHARACTERS * share)


def portions(
    items: Sequence[T], length: Callable[[T], int], *, texts: int = BATCH_TEXTS, characters: int = BATCH_CHARACTERS
) -> Iterator[list[T]]:
    """The items in order, in lists of at most `texts` items and `characters` by `length`, or of one that is longer."""
    portion: list[T] = []
    size = 0
    for item in items:
        own = length(item)
        if portion and (len(portion) == texts or size + own > characters):
            yield portion
            portion, size = [], 0
        portion.append(item)
        size += own
    if portion:
        yield portion


def characters_of(text: Sequence[str]) -> int:
    """The length of a text: of all its segments."""
    return sum(map(len, text))
