"""The best sequence of tags where only some are allowed (Viterbi)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.numerics.arrays import Floats
from model.spans.chain.lattice import Potentials
from model.spans.chain.tags import TagSet, WordSpan

Tags = NDArray[np.int64]


def allow_all(words: int, tags: TagSet) -> NDArray[np.bool_]:
    """Every tag for every word [words, K]."""
    return np.ones((words, tags.size), bool)


def allow_only(allowed: NDArray[np.bool_], tags: TagSet, span: WordSpan) -> None:
    """Only sequences that mark just this span there are left."""
    first_tag = 1 + 2 * tags.labels.index(span.label)
    for word in range(span.first, span.last + 1):
        tag = first_tag + int(word > span.first)
        allowed[word] = np.arange(tags.size) == tag
    if span.last + 1 < len(allowed):
        allowed[span.last + 1, first_tag + 1] = False


def best_tags(
    scores: Floats,
    potentials: Potentials,
    tags: TagSet,
    allowed: NDArray[np.bool_],
    *,
    is_begin: bool = True,
    is_end: bool = True,
) -> Tags:
    """Of words with these log-scores [words, K]; whether the text begins and ends with them: what is cut out of one may
    begin amid a span."""
    own = np.where(allowed, scores.astype(np.float64), -np.inf)
    steps = np.where(tags.allowed, potentials.transitions, -np.inf)
    best = own[0] + np.where(tags.starts, potentials.begin, -np.inf) if is_begin else own[0]
    came = np.zeros((len(own), tags.size), np.int64)
    for word in range(1, len(own)):
        paths = best[:, None] + steps
        came[word] = paths.argmax(0)
        best = paths[came[word], np.arange(tags.size)] + own[word]
    if is_end:
        best = best + potentials.end
    found = np.empty(len(own), np.int64)
    found[-1] = best.argmax()
    for word in range(len(own) - 1, 0, -1):
        found[word - 1] = came[word, found[word]]
    return found
