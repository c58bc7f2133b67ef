"""Exact probability of every span: that just these words carry a label, and their neighbours do not continue it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.numerics.arrays import Floats
from model.spans.chain.lattice import Lattice
from model.spans.chain.tags import TagSet

LONGEST = 12
"""Words of a span that is considered; more where annotators mark longer ones."""

LEAST = 0.03
"""Probability from which a span is a candidate."""

NEGLIGIBLE = 0.1
"""Of `LEAST`: when no beginning is likelier, longer spans are not looked at."""


class Candidate(NamedTuple):
    """Words `first` to `last` (inclusive) of a text, a label's place, and how likely."""

    first: int
    last: int
    label: int
    probability: float


def span_probabilities(
    lattice: Lattice, tags: TagSet, longest: int = LONGEST, least: float = LEAST
) -> list[list[Candidate]]:
    """The candidates of each text, in the order of the texts given to `Packing`."""
    packing = lattice.packing
    order = packing.places
    forward, backward, ahead = lattice.forward[order], lattice.backward[order], lattice.ahead[order]
    emissions = (lattice.emissions / lattice.scales[:, None])[order]
    lasts = np.zeros(len(forward), bool)
    lasts[packing.lasts] = True
    first_tags, further = slice(1, None, 2), slice(2, None, 2)
    stays = np.diagonal(lattice.transitions)[further]  # of a label's going on
    goes_on = np.diagonal(lattice.transitions, offset=1)[first_tags]  # from its first word
    onward = np.zeros_like(ahead[:, further])
    onward[:-1] = ahead[1:, further]
    onward[lasts] = 0
    end_first = np.maximum(backward[:, first_tags] - goes_on * onward, 0)
    end_further = np.maximum(backward[:, further] - stays * onward, 0)

    found: list[tuple[NDArray, NDArray, NDArray, Floats]] = []
    reach = forward[:, first_tags].copy()  # of a span that has come as far as this word, by label
    for length in range(1, longest + 1):
        probability = reach * (end_first if length == 1 else end_further)
        words, labels = np.nonzero(probability >= least)
        found.append((words - length + 1, words, labels, probability[words, labels]))
        if reach.max(initial=0) < NEGLIGIBLE * least:
            break
        longer = np.zeros_like(reach)
        longer[1:] = np.where(lasts[:-1, None], 0, reach[:-1])
        longer *= (goes_on if length == 1 else stays) * emissions[:, further]
        reach = longer
    return _by_text(found, packing.starts, packing.lengths)


def label_probabilities(lattice: Lattice, tags: TagSet, first: int, last: int) -> Floats:
    """Exact probability that just the words `first` to `last` of the one text carry each label, however little."""
    order = lattice.packing.places
    forward, backward, ahead = lattice.forward[order], lattice.backward[order], lattice.ahead[order]
    emissions = (lattice.emissions / lattice.scales[:, None])[order]
    stays = np.diagonal(lattice.transitions)[2::2]
    goes_on = np.diagonal(lattice.transitions, offset=1)[1::2]
    reach = forward[first, 1::2].copy()
    for word in range(first + 1, last + 1):
        reach *= (goes_on if word == first + 1 else stays) * emissions[word, 2::2]
    onward = ahead[last + 1, 2::2] if last + 1 < len(ahead) else np.zeros_like(reach)
    close = backward[last, 1::2] - goes_on * onward if first == last else backward[last, 2::2] - stays * onward
    return np.minimum(reach * np.maximum(close, 0), 1.0)


def _by_text(
    found: Sequence[tuple[NDArray, NDArray, NDArray, Floats]],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> list[list[Candidate]]:
    owners = np.repeat(np.arange(len(lengths)), lengths)
    result: list[list[Candidate]] = [[] for _ in lengths]
    for firsts, lasts, labels, probabilities in found:
        texts = owners[lasts]
        offsets = starts[texts]
        rows = zip(texts, firsts - offsets, lasts - offsets, labels, probabilities, strict=True)
        for text, first, last, label, probability in rows:
            result[text].append(Candidate(int(first), int(last), int(label), min(1.0, float(probability))))
    return [sorted(own) for own in result]
