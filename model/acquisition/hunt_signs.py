"""What somebody says of the members of a class, as a number for every text: words, an expression, texts like them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model.acquisition.uncertainty import SMALLEST_PROBABILITY
from model.numerics.arrays import Floats
from model.spans.patterns.pattern import Pattern, PatternError
from model.spans.patterns.regex_set import RegexSet, compile_regex

__all__ = ["PatternError", "check_regex", "find_expression", "find_words", "measure_likeness"]


def check_regex(label: str, expression: str) -> None:
    """Raises PatternError for what RE2 does not take, what is too large, and what matches where nothing stands."""
    compile_regex(_pattern(label, expression))


def find_expression(label: str, expression: str, texts: Sequence[str]) -> Floats:
    """1 for each text that the expression (RE2's syntax, in whatever case) matches somewhere, else 0 [n]. In time in
    proportion to the texts: one that takes too long in a text is given up there. Raises PatternError."""
    found = RegexSet.build([_pattern(label, expression)])
    return np.array([float(any(True for _ in found.find(text))) for text in texts])


def find_words(words: Sequence[str], texts: Sequence[str]) -> Floats:
    """1 for each text that holds one of the words or phrases, in whatever case, at the start of a word; else 0 [n].
    `refund` is in `Refunded`, and not in `prerefund`; in scripts without blanks a word may begin anywhere."""
    wanted = [" ".join(word.casefold().split()) for word in words if word.strip()]
    return np.array([float(any(_holds(text, word) for word in wanted)) for text in map(_plain, texts)])


def measure_likeness(features: Floats, examples: Floats) -> Floats:
    """Cosine [n] of each row of `features` [n, width] to the nearest of the `examples` [m, width], 0 at least; both
    less what all rows share. Zeros without examples."""
    if not len(examples) or not len(features):
        return np.zeros(len(features))
    middle = features.mean(0)
    return np.maximum((_unit(features - middle) @ _unit(examples - middle).T).max(1), 0.0).astype(float)


def _pattern(label: str, expression: str) -> Pattern:
    return Pattern(label, expression, is_regex=True, ignore_case=True)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _holds(text: str, word: str) -> bool:
    place = text.find(word)
    while place >= 0:
        if place == 0 or not (_is_of_word(text[place - 1]) and _is_of_word(word[0])):
            return True
        place = text.find(word, place + 1)
    return False


def _is_of_word(character: str) -> bool:
    """Whether it is part of a word in a script with blanks between words: Han, kana and Thai have none."""
    return character.isalnum() and not "\u0e00" <= character <= "\u0eff" and not "\u2e80" <= character <= "\u9fff"


def _unit(rows: Floats) -> Floats:
    lengths: Floats = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), SMALLEST_PROBABILITY)
    return rows / lengths
