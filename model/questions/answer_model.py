"""The likelihood of an answer: one run of words of the passage, or none, by scores of its start, its words and its end.

score(i..j) = start[i] + sum of inside[i..j] + end[j] + length[j - i + 1];  score(none) = none;  softmax over all.
Everything is a sum over words, so that a passage with a thousand candidates costs no more than its words; the band of
candidates [words, longest] holds the softmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]

START, INSIDE, END = range(3)
ROLES = 3

BUCKETS = (1, 2, 3, 4, 5, 7, 10, 15, 21)
"""Lengths in words from which an answer counts as of the next size."""

IMPOSSIBLE = np.float32(-1e30)


@dataclass(frozen=True)
class Band:
    """The candidates of some passages side by side: row = first word, column = further words.

    `ends`: of each passage, in rows; `longest`: words of the longest candidate."""

    ends: NDArray[np.int64]
    longest: int
    possible: NDArray[np.bool_] = field(repr=False)
    last: NDArray[np.int64] = field(repr=False)
    text: NDArray[np.int64] = field(repr=False)

    @classmethod
    def of(cls, lengths: Sequence[int], longest: int) -> Band:
        """For passages of so many words each."""
        ends = np.cumsum(np.array(lengths, np.int64))
        text = np.repeat(np.arange(len(lengths)), lengths)
        rows = np.arange(len(text))[:, None] + np.arange(longest)[None]
        limit = ends[text][:, None] if len(text) else np.zeros((0, 1), np.int64)
        possible = rows < limit
        return cls(ends, longest, possible, np.minimum(rows, limit - 1), text)

    @property
    def starts(self) -> NDArray[np.int64]:
        """First row of each passage."""
        return np.concatenate([[0], self.ends[:-1]]).astype(np.int64)

    @property
    def filled(self) -> NDArray[np.bool_]:
        """Which passages have a word."""
        found: NDArray[np.bool_] = self.ends > self.starts
        return found

    def take(self, places: Sequence[int]) -> tuple[Band, NDArray[np.int64]]:
        """Of some of the passages, and their rows here."""
        starts = self.starts
        rows = [np.arange(starts[place], self.ends[place]) for place in places]
        found = np.concatenate(rows) if rows else np.zeros(0, np.int64)
        return Band.of([len(own) for own in rows], self.longest), found

    def scores(self, words: Floats32, lengths: Floats32) -> Floats32:
        """Of every candidate [rows, longest], from those of words in each role [rows, 3] and of the sizes of answers to
        each passage's question [passages, longest]."""
        inside = np.concatenate([[0], np.cumsum(words[:, INSIDE], dtype=np.float64)])
        found = words[:, START, None] + words[self.last, END] + lengths[self.text]
        found += (inside[self.last + 1] - inside[:-1][:, None]).astype(np.float32)
        found[~self.possible] = IMPOSSIBLE
        return found

    def log_totals(self, scores: Floats32, none: Floats32) -> Floats32:
        """Log of the sum over all candidates and none, of each passage."""
        best = none.copy()
        filled = self.filled
        if len(scores):
            tops = np.maximum.reduceat(scores.max(1), self.starts[filled])
            best[filled] = np.maximum(best[filled], tops)
        sums = np.exp(none - best)
        if len(scores):
            rows = np.exp(scores - best[self.text][:, None]).sum(1)
            sums[filled] += np.add.reduceat(rows, self.starts[filled])
        return (best + np.log(sums)).astype(np.float32)

    def shares(self, scores: Floats32, none: Floats32) -> tuple[Floats32, Floats32]:
        """Probabilities of all candidates, and of none."""
        totals = self.log_totals(scores, none)
        return np.exp(scores - totals[self.text][:, None]), np.exp(none - totals)

    def word_gradient(self, weights: Floats32) -> Floats32:
        """Of a sum of candidates' scores with these weights [rows, longest]: that of words in each role [rows, 3]."""
        found = np.zeros((len(weights), ROLES), np.float32)
        found[:, START] = weights.sum(1)
        for further in range(self.longest):  # what reaches over a passage's end weighs nothing
            found[further:, END] += weights[: len(weights) - further, further]
        # A word is inside the candidates that start at or before it and end at or behind it.
        opened = np.cumsum(found[:, START], dtype=np.float64)
        closed = np.cumsum(found[:, END], dtype=np.float64) - found[:, END]
        found[:, INSIDE] = opened - closed
        return found


def length_buckets(longest: int) -> NDArray[np.int64]:
    """Size class of answers of 1 to `longest` words."""
    return np.searchsorted(np.array(BUCKETS), np.arange(1, longest + 1), side="right") - 1


@dataclass(frozen=True)
class AnswerWeights:
    """What a candidate's score is made of. `words` [columns, roles]: of what a word stands for and looks like; `states`
    [width, roles]: of what the encoder makes of it; `lengths` [1 + kinds, buckets]: of an answer's size, for all
    questions and on top for each kind; `none` [none columns + kinds]."""

    words: Floats32
    states: Floats32
    lengths: Floats32
    none: Floats32

    @property
    def flat(self) -> Floats32:
        """All of them in a row."""
        return np.concatenate([part.ravel() for part in (self.words, self.states, self.lengths, self.none)])

    def like(self, flat: Floats32) -> AnswerWeights:
        """The same shapes with other numbers."""
        found, place = [], 0
        for part in (self.words, self.states, self.lengths, self.none):
            found.append(flat[place : place + part.size].reshape(part.shape))
            place += part.size
        return AnswerWeights(*found)

    def arrays(self) -> dict[str, Floats32]:
        """By name."""
        return {"words": self.words, "states": self.states, "lengths": self.lengths, "none": self.none}


@dataclass(frozen=True)
class Questions:
    """Some questions with their passages, side by side: `words` [rows, columns] and `states` [rows, width] of the
    passages' words, `kinds` [questions], `none` [questions, columns]."""

    words: Floats32 = field(repr=False)
    states: Floats32 = field(repr=False)
    kinds: NDArray[np.int64] = field(repr=False)
    none: Floats32 = field(repr=False)
    band: Band = field(repr=False)

    def take(self, places: Sequence[int]) -> Questions:
        """Some of them."""
        band, rows = self.band.take(places)
        chosen = np.array(places, np.int64)
        return Questions(self.words[rows], self.states[rows], self.kinds[chosen], self.none[chosen], band)

    def scores(self, weights: AnswerWeights) -> tuple[Floats32, Floats32]:
        """Of every candidate [rows, longest], and of no answer [questions]."""
        words = self.words @ weights.words
        if weights.states.any():
            words += self.states @ weights.states
        sizes = (weights.lengths[0] + weights.lengths[1 + self.kinds])[:, length_buckets(self.band.longest)]
        return self.band.scores(words, sizes), (self.none @ weights.none).astype(np.float32)


@dataclass(frozen=True)
class Gold:
    """What is right: `answers` [rows, longest], any of which will do; `nothing` [questions]; `weights` [questions], 0
    of what no candidate is right for."""

    answers: NDArray[np.bool_] = field(repr=False)
    nothing: NDArray[np.bool_]
    weights: Floats32

    @classmethod
    def of(cls, band: Band, answers: Sequence[Sequence[tuple[int, int]]], weights: Sequence[float]) -> Gold:
        """From first and last words of the answers to each question; longer ones than are looked for teach nothing."""
        found = np.zeros(band.possible.shape, bool)
        nothing = np.zeros(len(answers), bool)
        counted = np.array(weights, np.float32)
        for place, (start, own) in enumerate(zip(band.starts, answers, strict=True)):
            fitting = [(first, last) for first, last in own if last - first < band.longest]
            for first, last in fitting:
                found[start + first, last - first] = True
            nothing[place] = not own
            counted[place] *= bool(fitting) or not own
        return cls(found, nothing, counted)


def loss(questions: Questions, gold: Gold, weights: AnswerWeights) -> tuple[float, AnswerWeights]:
    """Minus the log-likelihood of what is right, and its gradient."""
    band = questions.band
    scores, none = questions.scores(weights)
    totals = band.log_totals(scores, none)
    right = np.where(gold.answers, scores, IMPOSSIBLE)
    right_none = np.where(gold.nothing, none, IMPOSSIBLE).astype(np.float32)
    right_totals = band.log_totals(right, right_none)
    value = float((gold.weights * (totals - right_totals)).sum())
    each = gold.weights[band.text][:, None]
    shares = np.exp(scores - totals[band.text][:, None])
    shares -= np.exp(np.minimum(right - right_totals[band.text][:, None], 0))
    shares *= each
    off_none = (np.exp(none - totals) - np.exp(np.minimum(right_none - right_totals, 0))) * gold.weights
    return value, _gradient(questions, weights, shares.astype(np.float32), off_none.astype(np.float32))


def _gradient(questions: Questions, weights: AnswerWeights, shares: Floats32, none: Floats32) -> AnswerWeights:
    band = questions.band
    words = band.word_gradient(shares)
    sizes = np.zeros((len(questions.kinds), band.longest), np.float32)
    if len(shares):
        sizes[band.filled] = np.add.reduceat(shares, band.starts[band.filled], axis=0)
    lengths = np.zeros_like(weights.lengths)
    for size, bucket in zip(sizes.T, length_buckets(band.longest), strict=True):
        lengths[0, bucket] += size.sum()
        np.add.at(lengths[:, bucket], 1 + questions.kinds, size)
    states = questions.states.T @ words if weights.states.size else weights.states
    return AnswerWeights(questions.words.T @ words, states, lengths, questions.none.T @ none)
