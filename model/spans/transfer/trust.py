"""How far the prior can be believed about these labels: texts that it never saw say so before anything is fitted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.spans.chain.crf import REPEAT
from model.spans.chain.lattice import Packing, Potentials, forward_backward
from model.spans.chain.tags import TagSet

EXPONENTS = tuple(round(0.1 * step, 1) for step in range(1, 11))
"""Tried as exponents of the prior's probabilities."""

FULL = 0.8
"""Exponent from which the prior is believed in full. Words are judged one by one here, and over-confident priors of
good names (news, tweets) come out at .7 to .9; foreign labels (39 slots of spoken queries) at .4."""

STRENGTH = 2.0
"""Of the expectation that the prior is right, in log-likelihood a squared log-exponent."""

MOST_TEXTS = 128


def prior_trust(
    log_probabilities: NDArray[np.float32], lengths: Sequence[int], gold: NDArray[np.int64], tags: TagSet
) -> float:
    """Between 0 and 1, from the prior's log-probabilities of labelled words [words, K] and their tags."""
    if len(gold) == 0:
        return 1.0
    packing = Packing(lengths)
    size = tags.size
    own = np.float32(REPEAT) * tags.repeats
    potentials = Potentials(own, np.zeros(size, np.float32), np.zeros(size, np.float32))
    inner = np.ones(len(gold), bool)
    inner[packing.firsts] = False
    here = np.flatnonzero(inner)
    repeats = float(own[gold[here - 1], gold[here]].sum())
    said = float(log_probabilities[np.arange(len(gold)), gold].sum(dtype=np.float64))
    values = []
    for exponent in EXPONENTS:
        lattice = forward_backward(np.float32(exponent) * log_probabilities, packing, potentials, tags)
        likelihood = exponent * said + repeats - lattice.log_z.sum()
        values.append(likelihood - STRENGTH * np.log(exponent) ** 2)
    return min(1.0, EXPONENTS[int(np.argmax(values))] / FULL)
