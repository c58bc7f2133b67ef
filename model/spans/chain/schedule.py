"""Which candidates are shown together: weighted interval scheduling."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from model.spans.chain.span_probabilities import Candidate


def choose(candidates: Sequence[Candidate], threshold: float) -> list[Candidate]:
    """Those that share no word and have the largest sum of (probability - threshold), in the order of the text."""
    likely = sorted((own for own in candidates if own.probability > threshold), key=lambda own: own.last)
    ends = [own.last for own in likely]
    best = [0.0]
    taken: list[tuple[bool, int]] = []
    for index, own in enumerate(likely):
        before = bisect_left(ends, own.first, 0, index)
        value = best[before] + own.probability - threshold
        taken.append((value > best[index], before))
        best.append(max(value, best[index]))
    chosen: list[Candidate] = []
    index = len(likely)
    while index:
        is_taken, before = taken[index - 1]
        if is_taken:
            chosen.append(likely[index - 1])
        index = before if is_taken else index - 1
    return sorted(chosen)
