"""Questions and passages as numbers: what of each word speaks for an answer that starts, goes on or ends there.

Every column says how a word of the passage stands to the question, or what the word looks like: few columns, the same
in every project, so that weights measured elsewhere are a start and 64 answers are enough to correct them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model.numerics.arrays import normalise
from model.numerics.float16 import widen
from model.questions.answer_memory import AnswerMemory
from model.questions.asked import LAYERS, MOST_QUESTION_WORDS, AskedText, TaughtWords, find_sentences
from model.questions.question_type import KINDS, STOP_WORDS
from model.spans.features.feature_space import StateScale
from model.spans.transfer.prior import TransferPrior

Floats32 = NDArray[np.float32]

SHAPES = ("capital", "capitals", "number", "digits", "lower", "mark", "stop", "first", "opens", "closes", "joins")
"""What a word looks like: capitalised, all capitals, a number, with digits, small letters, a mark, a function word, the
first of its sentence; a bracket or quotation mark that opens or closes, a hyphen or apostrophe between words."""

NEAR = (3, 10)
"""Words before and behind in which matches with the question count as near."""

MATCHES = (
    *(f"{how} {what}" for how in ("same", "low", "middle", "last") for what in ("here", "sentence", "lead")),
    *(f"{how} {side} {near}" for how in ("same", "last") for near in NEAR for side in ("before", "behind")),
    *("meaning", "meaning lead", "type", "type on", "taught start", "taught end", "like answers", "same answers"),
)
"""Columns of how a word stands to the question: here, its sentence's share of the question, and that share's lead over
the other sentences'; matches before and behind; the sentence's meaning; the prior's log-odds of the name asked for;
what the base model's own head says; how much a word is like what answered such questions before, or just that."""


@dataclass(frozen=True)
class AskedFeatures:
    """Of one question: `match` [words, MATCHES], `shape` [words, SHAPES], `sentence` [words], the place of the
    question's kind, and `none` [NONE], what speaks for no answer."""

    match: Floats32 = field(repr=False)
    shape: Floats32 = field(repr=False)
    sentence: NDArray[np.int64] = field(repr=False)
    kind: int
    none: Floats32 = field(repr=False)


NONE = ("any", "same", "last", "meaning", "type", "short", "negated", "taught", "like answers")
"""What speaks for no answer: a constant, the best sentence's shares and meaning, the best word of the type, a short
passage, a question that denies, the base model's own head, and how much any word is like what answered before."""


def read_features(
    asked: AskedText, scale: StateScale, prior: TransferPrior | None, memory: AnswerMemory
) -> AskedFeatures:
    """What a head sees of a question and its passage."""
    sentences = find_sentences(asked.passage)
    of = np.array(sentences.of, np.int64)
    count = len(sentences.first)
    shape = word_shapes(asked.passage.words, sentences.of)
    columns: list[Floats32] = []
    weights = question_weights(asked)
    views = _similarities(asked, scale)
    shares: dict[str, Floats32] = {}
    for name, own in views.items():
        here = (own * weights).max(1, initial=0)
        share = _by_sentence(own, sentences.first) @ (weights / max(float(weights.sum()), 1e-6))
        shares[name] = share
        columns += [here, share[of] if len(of) else here, _lead(share)[of] if len(of) else here]
    for name in ("same", "last"):
        here = (views[name] * weights).max(1, initial=0)
        for near in NEAR:
            columns += [_before(here, near), _before(here[::-1], near)[::-1]]
    meaning = _meaning(asked, sentences.first)
    columns += [meaning[of] if len(of) else meaning, _lead(meaning)[of] if len(of) else meaning]
    begins, goes_on = _type_odds(asked, prior)
    columns += [begins, goes_on]
    taught = asked.taught or TaughtWords(np.zeros((len(of), 2), np.float32), 0.0)
    like = memory.likeness(asked, scale)
    columns += [taught.scores[:, 0], taught.scores[:, 1], like[:, 0], like[:, 1]]
    match = np.stack(columns, axis=1).astype(np.float32) if len(of) else np.zeros((0, len(MATCHES)), np.float32)
    none = [
        1.0,
        shares["same"].max(initial=0),
        shares["last"].max(initial=0),
        meaning.max(initial=-1) if count else 0.0,
        begins.max(initial=-5) / 5,
        float(len(of) < 20),
        float(any(word.lower() in ("not", "never", "no", "n't", "without") for word in asked.question.words)),
        taught.none,
        like[:, 0].max(initial=0),
    ]
    return AskedFeatures(match, shape, of, KINDS.index(asked.type.kind), np.array(none, np.float32))


def question_weights(asked: AskedText) -> Floats32:
    """How much each word of the question says: little where it is a function word, or stands in the passage often."""
    words = [word.lower() for word in asked.question.words[:MOST_QUESTION_WORDS]]
    often = Counter(word.lower() for word in asked.passage.words)
    return np.array(
        [(0.1 if word in STOP_WORDS or not word[0].isalnum() else 1.0) / (1 + often[word]) ** 0.25 for word in words],
        np.float32,
    )


def word_shapes(words: Sequence[str], sentences: Sequence[int]) -> Floats32:
    """What each word looks like [words, SHAPES]."""
    rows = np.zeros((len(words), len(SHAPES)), np.float32)
    for place, word in enumerate(words):
        rows[place] = (
            word[0].isupper(),
            word.isupper() and len(word) > 1,
            word.isdigit(),
            any(character.isdigit() for character in word),
            word.islower(),
            not word[0].isalnum(),
            word.lower() in STOP_WORDS,
            place == 0 or sentences[place] != sentences[place - 1],
            word in "([{«“‘",
            word in ')]}»”’,;:.!?"',
            word in "-–'’/",
        )
    return rows


def _similarities(asked: AskedText, scale: StateScale) -> dict[str, Floats32]:
    """How alike each word of the passage and each of the question is [words, question words], 0 to 1, seen in several
    ways: the same letters, and the states of each layer."""
    asked_words = [_stem(word) for word in asked.question.words[:MOST_QUESTION_WORDS]]
    own = [_stem(word) for word in asked.passage.words]
    places = {word: place for place, word in enumerate(dict.fromkeys(asked_words))}
    rows = np.array([places.get(word, -1) for word in own], np.int64)
    columns = np.array([places[word] for word in asked_words], np.int64)
    found = {"same": (rows[:, None] == columns[None, :]).astype(np.float32)}
    passage, question = scaled(asked.passage.states, scale), scaled(asked.question.states[:MOST_QUESTION_WORDS], scale)
    width = passage.shape[1] // LAYERS
    for place, name in enumerate(("low", "middle", "last")):
        part = slice(place * width, (place + 1) * width)
        found[name] = np.maximum(normalise(passage[:, part]) @ normalise(question[:, part]).T, 0).astype(np.float32)
    return found


def scaled(states: NDArray[np.float16], scale: StateScale) -> Floats32:
    """States with every dimension on one scale."""
    rows: Floats32 = (widen(states) - scale.mean) / scale.spread
    return rows


def _stem(word: str) -> str:
    low = word.lower()
    for ending in ("ing", "ed", "es", "s"):
        if len(low) > len(ending) + 3 and low.endswith(ending):
            return low[: -len(ending)]
    return low


def _by_sentence(rows: Floats32, first: Sequence[int]) -> Floats32:
    """The largest of each column within each sentence [sentences, columns]."""
    if not len(rows):
        return np.zeros((0, rows.shape[1]), np.float32)
    found: Floats32 = np.maximum.reduceat(rows, np.array(first, np.int64), axis=0)
    return found


def _lead(shares: Floats32) -> Floats32:
    """Of each sentence over the best of all: 0 for that one, less for others."""
    return shares - shares.max(initial=0) if len(shares) else shares


def _before(here: Floats32, near: int) -> Floats32:
    """The matches in so many words before each, the nearer the more."""
    total = np.zeros_like(here)
    for distance in range(1, min(near, len(here) - 1) + 1):
        total[distance:] += here[:-distance] / np.float32(distance**0.5)
    return total / np.float32(near**0.5)


def _meaning(asked: AskedText, first: Sequence[int]) -> Floats32:
    """How alike each sentence and the question are, by the mean of their last states: as the encoder was trained to."""
    width = asked.passage.states.shape[1] // LAYERS
    passage, question = (widen(np.ascontiguousarray(one.states[:, -width:])) for one in (asked.passage, asked.question))
    if not first or not len(question):
        return np.zeros(len(first), np.float32)
    sums = np.add.reduceat(passage, np.array(first, np.int64), axis=0)
    found: Floats32 = (normalise(sums) @ normalise(question.mean(0)[None]).T)[:, 0].astype(np.float32)
    return found


def _type_odds(asked: AskedText, prior: TransferPrior | None) -> tuple[Floats32, Floats32]:
    """Log-odds that each word begins, and goes on, what is asked for by name; 0 where nothing says it."""
    count = len(asked.passage.bounds)
    if prior is None or not asked.name.any() or not count:
        return np.zeros(count, np.float32), np.zeros(count, np.float32)
    said = prior.log_probabilities(asked.passage.hidden, asked.name[None])
    return np.clip(said[:, 1] - said[:, 0], -5, 5), np.clip(said[:, 2] - said[:, 0], -5, 5)
