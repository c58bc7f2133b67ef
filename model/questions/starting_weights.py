"""The weights that a fit starts from and is held to: what answers to questions are like anywhere.

A few hundred numbers of one digit, each of which says something that can be read: answers stand in sentences that share
words with the question ("same lead"), seldom begin or end with a function word ("stop"), and hold digits where somebody
asks when. Measured once, on 600 questions about eight articles (docs/decisions/0049-questions.md says which); no word
of any text is in them, and what this project reports is measured on other articles.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from model.questions.answer_model import END, START, AnswerWeights
from model.questions.layout import COLUMNS, NONE_COLUMNS, zero_weights

WORDS: Mapping[str, tuple[float, float, float]] = {
    "same here": (-0.8, -1.8, -0.5),
    "same sentence": (0.4, 0.2, 0.4),
    "same lead": (0.7, 0.1, 0.7),
    "low here": (-0.2, -0.3, 0.4),
    "low sentence": (-0.1, -0.4, -0.1),
    "low lead": (0.5, 0.2, 0.5),
    "middle here": (0.0, 0.1, 0.6),
    "middle lead": (0.5, 0.4, 0.6),
    "last here": (-0.3, -0.4, 0.1),
    "last sentence": (0.0, 0.3, 0.0),
    "last lead": (0.6, 0.5, 0.6),
    "same before 3": (1.1, -0.4, 0.5),
    "same behind 3": (0.3, 0.1, 0.9),
    "same before 10": (1.0, 0.8, 0.6),
    "same behind 10": (0.4, 0.2, 0.7),
    "last before 3": (0.8, 0.3, 0.4),
    "last behind 3": (0.2, 0.2, 0.3),
    "last before 10": (0.3, -0.2, 0.3),
    "last behind 10": (-0.1, -0.4, -0.1),
    "meaning": (0.0, 0.4, 0.0),
    "meaning lead": (0.5, 0.5, 0.5),
    "type": (0.4, -0.1, 0.1),
    "like answers": (0.5, 0.5, 0.5),
    "same answers": (0.5, 0.5, 0.5),
    "type on": (-0.4, 0.1, 0.2),
    "capital": (-0.4, 0.5, 0.0),
    "number": (-0.3, -0.4, -0.3),
    "digits": (0.1, 0.2, -0.1),
    "lower": (-0.2, 0.1, -0.4),
    "mark": (-0.8, -0.7, -0.9),
    "stop": (-0.9, -1.2, -1.3),
    "opens": (-0.1, -0.6, -0.1),
    "closes": (-0.5, -0.7, -0.8),
    "joins": (-0.2, 0.4, -0.2),
    "capital before": (-0.8, -0.4, -0.6),
    "capitals before": (-0.1, -0.3, -0.2),
    "number before": (-0.2, -0.3, -0.1),
    "digits before": (-0.3, 0.0, 0.2),
    "lower before": (-0.7, -0.2, -0.4),
    "mark before": (-0.3, -0.2, -0.6),
    "stop before": (0.5, 0.6, -0.2),
    "first before": (0.6, 0.7, -0.2),
    "opens before": (-0.2, -0.7, -0.1),
    "joins before": (-0.3, 0.3, -0.4),
    "capital behind": (-0.5, -0.5, -1.3),
    "capitals behind": (0.2, -0.1, -0.1),
    "number behind": (0.0, -0.3, -0.3),
    "digits behind": (-0.1, -0.2, -0.3),
    "lower behind": (-0.8, -0.2, -0.6),
    "mark behind": (-0.4, 0.2, 0.2),
    "stop behind": (0.0, 0.2, 0.4),
    "opens behind": (-0.3, 0.1, 0.5),
    "closes behind": (-0.3, 0.0, 0.3),
    "joins behind": (0.0, -0.1, -0.7),
    "who: capital": (0.1, 0.3, 0.3),
    "who: digits": (-0.1, -0.2, -0.1),
    "who: lower": (-0.1, -0.5, -0.3),
    "when: capital": (-0.2, -0.7, -0.5),
    "when: number": (0.1, 0.6, 0.6),
    "when: digits": (0.5, 1.3, 0.9),
    "when: lower": (0.1, -0.3, 0.0),
    "when: stop": (-0.1, -0.2, -0.1),
    "where: capital": (-0.1, 0.3, -0.2),
    "number: capital": (-0.3, -0.6, -0.3),
    "number: number": (0.5, 0.5, 0.2),
    "number: digits": (0.5, 0.5, 0.2),
    "amount: lower": (0.0, -0.3, 0.0),
}
"""Column -> weight at an answer's start, at each of its words, and at its end."""

SIZES = (-1.0, -0.9, -0.6, 0.0, -0.1, 0.4, 0.1, 0.0, 0.0)
"""Weight of an answer's size, by the bucket of its length."""

NOTHING: Mapping[str, float] = {"any": 2.2, "same": 0.3, "last": 0.6, "meaning": 0.5, "type": 0.7, "negated": 0.8}
"""Column -> weight of no answer."""


@lru_cache(maxsize=8)
def starting_weights(width: int, taught: bool = False) -> AnswerWeights:
    """For states of this width, of which nothing is known before answers are. `taught`: the base model has a head of
    its own for questions, which then says all there is to say."""
    found = zero_weights(width)
    if taught:
        found.words[COLUMNS.index("taught start"), START] = 1
        found.words[COLUMNS.index("taught end"), END] = 1
        found.none[NONE_COLUMNS.index("taught")] = 1
    else:
        found.lengths[0] = SIZES
        for name, row in WORDS.items():
            found.words[COLUMNS.index(name)] = row
        for name, weight in NOTHING.items():
            found.none[NONE_COLUMNS.index(name)] = weight
    for part in found.arrays().values():
        part.setflags(write=False)
    return found
