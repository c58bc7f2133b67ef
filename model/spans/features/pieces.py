"""Long texts as a chain answers them: in pieces, each with words around it, so that time and memory are bounded.

What a chain says of a word hardly depends on words farther away than AROUND: pieces give the probabilities of the whole
text to a thousandth, as many of them in one go as there is room for, instead of one word after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from model.spans.chain.span_probabilities import Candidate
from model.spans.features.reading import Pause, ReadText
from model.spans.features.stretches import LONG_TEXT

PIECE, AROUND = 250, 45
"""Words of a piece, and of what is looked at on either side of it: no longer span is ever looked for."""

MOST_SCORES = 2_000_000
"""Scores of tags that are computed at once: 8 MB, of which a chain needs twenty copies, and a quarter of a second of a
core. Others come in between."""


@dataclass(frozen=True)
class Piece:
    """Words `begin` to `end` of the text at this place, of which `first` to `last` are its own (both: the one after the
    last)."""

    text: int
    begin: int
    end: int
    first: int
    last: int

    def of(self, texts: Sequence[ReadText]) -> ReadText:
        """The words of the piece, and of what is around it."""
        return texts[self.text].part(self.begin, self.end)


Ask = Callable[[Sequence[Piece]], Sequence[Sequence[Candidate]]]


def candidates_in_pieces(
    texts: Sequence[ReadText], tags: int, ask: Ask, pause: Pause | None = None
) -> list[list[Candidate]]:
    """What is possible in each text, as `ask` says of pieces. Texts that are not long are asked for together. `pause`:
    called between any two portions of pieces."""
    short = [Piece(place, 0, len(own.bounds), 0, len(own.bounds)) for place, own in enumerate(texts) if not _long(own)]
    groups = [short] if short else []
    groups += _grouped([one for place, own in enumerate(texts) if _long(own) for one in _cut(place, own)], tags)
    found: list[list[Candidate]] = [[] for _ in texts]
    for number, group in enumerate(groups):
        if number and pause is not None:
            pause()
        for piece, own in zip(group, ask(group), strict=True):
            moved = (one._replace(first=one.first + piece.begin, last=one.last + piece.begin) for one in own)
            found[piece.text] += [one for one in moved if piece.first <= one.first < piece.last]
    return found


def piece_around(text: ReadText, first: int, last: int) -> tuple[int, int]:
    """The words that a chain must look at to tell of these (both: the one after the last): all of a text that is not
    long."""
    if not _long(text):
        return 0, len(text.bounds)
    own = first - first % PIECE
    return max(0, own - AROUND), min(len(text.bounds), max(own + PIECE, last) + AROUND)


def _long(text: ReadText) -> bool:
    return len(text.text) > LONG_TEXT


def _cut(place: int, text: ReadText) -> Iterator[Piece]:
    words = len(text.bounds)
    for first in range(0, words, PIECE):
        last = min(first + PIECE, words)
        yield Piece(place, max(0, first - AROUND), min(words, last + AROUND), first, last)


def _grouped(pieces: Sequence[Piece], tags: int) -> list[list[Piece]]:
    size = max(1, MOST_SCORES // (tags * (PIECE + 2 * AROUND)))
    return [list(pieces[start : start + size]) for start in range(0, len(pieces), size)]
