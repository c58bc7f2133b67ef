"""What a head says of texts with spans, in the form in which the strategies look at answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model.acquisition.uncertainty import Pool, Rows
from model.numerics.arrays import Floats
from model.spans.features.reading import ReadText


def as_answers(doubts: Sequence[float] | Floats) -> Floats:
    """Probabilities [n, 2] as those of an answer with two labels: the nearer to each other, the larger the doubt."""
    sure = 0.5 + 0.5 * np.exp(-np.array(doubts, dtype=float))
    return np.stack([sure, 1 - sure], axis=1)


def marked_pool(doubts: Sequence[float] | Floats, states: Floats, labelled: Rows, unseen: float) -> Pool:
    """The pool of a control that marks text. `states` [n, width]: of each text as `mean_state` says; what all of them
    share says nothing. `unseen`: the share of labels that nobody has marked anything as."""
    features = states - states.mean(0) if len(states) else states
    return Pool(as_answers(doubts), features, labelled, worth=np.array(doubts, dtype=float), unseen=unseen)


def mean_state(text: ReadText) -> Floats:
    """What a text is like [width]: the mean of its words' states; zeros without a word."""
    states = text.states.astype(np.float32)
    return np.asarray(states.mean(0)) if len(states) else np.zeros(states.shape[1], np.float32)
