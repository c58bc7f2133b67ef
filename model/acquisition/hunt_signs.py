"""What somebody says of the members of a class, as a number for every text: words, an expression, texts like them."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from unicodedata import category, normalize

import numpy as np

from model.acquisition.uncertainty import SMALLEST_PROBABILITY
from model.labels import UNSEEN
from model.numerics.arrays import Floats
from model.spans.patterns.pattern import Pattern, PatternError
from model.spans.patterns.regex_set import RegexSet, compile_regex
from model.texts import POINTS, UNSPACED

log = logging.getLogger(__name__)

__all__ = ["PatternError", "check_regex", "find_expression", "find_words", "hint_likeness", "measure_likeness"]

LIKE_WEIGHT = 0.15
"""What a cosine of 1 counts as beside a match, which is 1: as .3 of a class's probability. The likest tasks alone were
less often of the class than those that the model takes for it without any example (docs/active-learning/hunt.md)."""

ANY_TIME = float("inf")

_UNSPACED = re.compile(f"[{UNSPACED}]")

_UNREAD = re.compile(f"{POINTS}|{UNSEEN.pattern}")
"""What is written now and left out then, and signs without a width."""


def check_regex(label: str, expression: str) -> None:
    """Raises PatternError for what RE2 does not take, what is too large, and what matches where nothing stands."""
    compile_regex(_pattern(label, expression))


def find_expression(label: str, expression: str, texts: Sequence[str], seconds: float = ANY_TIME) -> Floats:
    """1 for each text that the expression (RE2's syntax, in whatever case) matches somewhere, else 0 [n]. In time in
    proportion to the texts: one that takes too long in a text is given up there, and after so many `seconds` of CPU in
    the rest. Raises PatternError."""
    found = RegexSet.build([_pattern(label, expression)])
    return _try(texts, lambda text: any(True for _ in found.find(text)), seconds)


def find_words(words: Sequence[str], texts: Sequence[str], seconds: float = ANY_TIME) -> Floats:
    """1 for each text that holds one of the words or phrases, in whatever case, at the start of a word; else 0 [n].
    `refund` is in `Refunded`, and not in `prerefund`; in scripts without blanks a word may begin anywhere. What is not
    read after so many `seconds` of CPU holds none."""
    wanted = [plain for word in words if (plain := _plain(word))]

    def holds(text: str) -> bool:
        plain = _plain(text)
        return any(_holds(plain, word) for word in wanted)

    return _try(texts, holds, seconds)


def measure_likeness(features: Floats, examples: Floats) -> Floats:
    """Cosine [n] of each row of `features` [n, width] to the nearest of the `examples` [m, width], 0 at least; both
    less what all rows share. Zeros without examples."""
    if not len(examples) or not len(features):
        return np.zeros(len(features))
    middle = features.mean(0)
    return np.maximum((_unit(features - middle) @ _unit(examples - middle).T).max(1), 0.0).astype(float)


def hint_likeness(features: Floats, examples: Floats) -> Floats:
    """That as a sign beside what the model says, LIKE_WEIGHT at most [n]."""
    return LIKE_WEIGHT * measure_likeness(features, examples)


def _try(texts: Sequence[str], matches: Callable[[str], bool], seconds: float) -> Floats:
    found, until = np.zeros(len(texts)), time.thread_time() + seconds
    for row, text in enumerate(texts):
        found[row] = matches(text)
        if time.thread_time() > until:
            log.warning("words or expression of a hunt given up after %s of %s texts: too slow", row + 1, len(texts))
            break
    return found


def _pattern(label: str, expression: str) -> Pattern:
    return Pattern(label, expression, is_regex=True, ignore_case=True)


def _plain(text: str) -> str:
    return " ".join(_UNREAD.sub("", normalize("NFKC", text).casefold()).split())


def _holds(text: str, word: str) -> bool:
    place = text.find(word)
    while place >= 0:
        if place == 0 or not (_is_of_word(text[place - 1]) and _is_of_word(word[0])):
            return True
        place = text.find(word, place + 1)
    return False


def _is_of_word(character: str) -> bool:
    """Whether it is part of a word in a script with blanks between words. The vowel signs of Hindi are."""
    return (character.isalnum() or category(character)[0] == "M") and not _UNSPACED.match(character)


def _unit(rows: Floats) -> Floats:
    lengths: Floats = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), SMALLEST_PROBABILITY)
    return rows / lengths
