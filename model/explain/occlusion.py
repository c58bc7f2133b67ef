"""The words that decided: what the answer loses without each word, and what each word says alone.

Pure: a text and a function from texts to log-odds in, weighted spans out. The weight of a word is the mean of two
occlusions: what its label's log-odds lose when it alone goes, and what they gain when it alone is there. These are the
first and the last term of its Shapley value; bench/faithfulness.py compares them with gradients (decision
0007).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from model.explain.words import find_words, group
from model.numerics.arrays import Floats
from model.spec import Text

LogOdds = Callable[[Sequence[Text]], Floats]
"""Texts [n] -> log-odds of each explained label [n, L]."""

MOST_WORDS = 40
"""Words looked at one by one. A longer text is first narrowed down to the passages that speak for the labels."""

PASSAGE_WORDS = 10
"""Words of a passage."""

MIN_LOG_ODDS = 0.1
"""Support under which a word decided nothing: it moves a probability of 0.5 by 0.025."""

MIN_WEIGHT = 0.2
"""Share of the heaviest word's support under which a word is not among those that decided."""


@dataclass(frozen=True)
class Piece:
    """Characters `start` to `end` (code points) of one segment of a text."""

    segment: int
    start: int
    end: int


@dataclass(frozen=True)
class Word:
    """A word that supports a label. `weight` in (0, 1] is relative to the heaviest, `log_odds` its support."""

    segment: int
    start: int
    end: int
    text: str
    weight: float
    log_odds: float


def explain(text: Text, log_odds: LogOdds) -> list[list[Word]]:
    """Per explained label, the words that support it, heaviest first. `log_odds` is called once, for long texts twice.

    It is asked for two texts a word, of which one holds that word only; no text is longer than MOST_WORDS words."""
    words = pieces_of(text)
    kept = [Piece(index, 0, len(part)) for index, part in enumerate(text)]
    if len(words) > MOST_WORDS:
        kept, words = narrow(text, words, log_odds)
    return [support(text, words, row) for row in weigh(text, words, kept, log_odds).T]


def pieces_of(text: Text) -> list[Piece]:
    """All words of all segments."""
    return [Piece(index, *span) for index, part in enumerate(text) for span in find_words(part)]


def weigh(text: Text, words: Sequence[Piece], kept: Sequence[Piece], log_odds: LogOdds) -> Floats:
    """The support of each word for each label [len(words), L], as log-odds, in a text of which only `kept` is read."""
    variants = [cut(text, kept), cut(text, [])]
    variants += [cut(text, kept, word) for word in words]
    variants += [cut(text, [word]) for word in words]
    rows = np.asarray(log_odds(variants), dtype=float)
    without, alone = rows[2 : 2 + len(words)], rows[2 + len(words) :]
    weights: Floats = ((rows[0] - without) + (alone - rows[1])) / 2
    return weights


def narrow(text: Text, words: Sequence[Piece], log_odds: LogOdds) -> tuple[list[Piece], list[Piece]]:
    """(passages, their words): the passages that alone say most for the labels, in the order of the text.

    An encoder pools over the tokens, so that a passage counts in a long text much as it does alone; reading each once
    costs what the text costs, leaving each out would cost that once per passage."""
    passages = [part for run in _by_segment(words) for part in group(run, -(-len(run) // PASSAGE_WORDS))]
    pieces = [Piece(run[0].segment, run[0].start, run[-1].end) for run in passages]
    rows = np.asarray(log_odds([cut(text, [piece]) for piece in pieces]), dtype=float)
    best = np.argsort(-rows, axis=0, kind="stable")[: MOST_WORDS // PASSAGE_WORDS]
    # Every label's best passage goes before any label's second.
    chosen = sorted(list(dict.fromkeys(best.ravel().tolist()))[: MOST_WORDS // PASSAGE_WORDS])
    return [pieces[index] for index in chosen], [word for index in chosen for word in passages[index]]


def support(text: Text, words: Sequence[Piece], log_odds: Floats) -> list[Word]:
    """The words whose support [len(words)] is clear, heaviest first."""
    most = float(max(log_odds, default=0.0))
    found = [
        Word(word.segment, word.start, word.end, text[word.segment][word.start : word.end], value / most, value)
        for word, value in zip(words, np.asarray(log_odds, dtype=float).tolist(), strict=True)
        if value >= MIN_LOG_ODDS and value >= MIN_WEIGHT * most
    ]
    return sorted(found, key=lambda word: (-word.weight, word.segment, word.start))


def cut(text: Text, kept: Sequence[Piece], hole: Piece | None = None) -> Text:
    """Only the kept pieces of each segment, one after the other, without the hole."""
    parts: list[list[str]] = [[] for _ in text]
    for piece in kept:
        whole = text[piece.segment]
        if hole and hole.segment == piece.segment and piece.start <= hole.start and hole.end <= piece.end:
            part = whole[piece.start : hole.start] + whole[hole.end : piece.end]
        else:
            part = whole[piece.start : piece.end]
        parts[piece.segment].append(part)
    return tuple(" ".join(part) for part in parts)


def _by_segment(words: Sequence[Piece]) -> list[list[Piece]]:
    runs: dict[int, list[Piece]] = {}
    for word in words:
        runs.setdefault(word.segment, []).append(word)
    return list(runs.values())
