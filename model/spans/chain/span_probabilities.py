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

KEPT = 0.999
"""Of `LEAST`: what is a little less likely is followed as well, since numbers are rounded."""


class Candidate(NamedTuple):
    """Words `first` to `last` (inclusive) of a text, a label's place, and how likely."""

    first: int
    last: int
    label: int
    probability: float


def span_probabilities(
    lattice: Lattice, tags: TagSet, longest: int = LONGEST, least: float = LEAST
) -> list[list[Candidate]]:
    """The candidates of each text, in the order of the texts given to `Packing`.

    A span is no likelier than its first word is a first word, and than all that begin there and come as far: only what
    is likely enough so far is followed, which of many labels is next to nothing."""
    packing = lattice.packing
    ends = np.zeros(len(lattice.forward), bool)
    ends[packing.lasts] = True
    rows, labels = np.nonzero(lattice.forward[:, 1::2] * lattice.backward[:, 1::2] >= KEPT * least)
    reach = lattice.forward[rows, 1 + 2 * labels]  # of a span that has come as far as this word
    firsts = words = packing.rows[rows]
    found: list[tuple[NDArray, NDArray, NDArray, Floats]] = []
    for length in range(1, longest + 1):
        factors = (lattice.transitions.goes_on if length == 1 else lattice.transitions.stays)[labels]
        backward = lattice.backward[packing.places[words], 2 * labels + min(length, 2)]
        is_end = ends[words]
        behind = packing.places[np.minimum(words + 1, len(ends) - 1)]
        onward = np.where(is_end, 0, lattice.ahead[behind, 2 * labels + 2])
        probability = reach * np.maximum(backward - factors * onward, 0)
        hits = probability >= least
        found.append((firsts[hits], words[hits], labels[hits], probability[hits]))
        further = ~is_end & (reach * backward >= KEPT * least)
        if not further.any():
            break
        firsts, words, labels, behind = firsts[further], words[further] + 1, labels[further], behind[further]
        emitted = lattice.emissions[behind, 2 * labels + 2] / lattice.scales[behind]
        reach = reach[further] * factors[further] * emitted
    return _by_text(found, packing.starts, packing.lengths)


def label_probabilities(lattice: Lattice, tags: TagSet, first: int, last: int) -> Floats:
    """Exact probability that just the words `first` to `last` of the one text carry each label, however little."""
    order = lattice.packing.places
    forward, backward, ahead = lattice.forward[order], lattice.backward[order], lattice.ahead[order]
    emissions = (lattice.emissions / lattice.scales[:, None])[order]
    stays, goes_on = lattice.transitions.stays, lattice.transitions.goes_on
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
