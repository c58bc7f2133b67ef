"""How likely a text is right as it is shown: no span to delete, none to add, none to relabel."""

from __future__ import annotations

from collections.abc import Mapping

from model.spans.chain.tags import WordSpan

LEAST_RIGHT = 1e-6
"""The score is never quite 0: nobody knows that."""


def right_as_shown(shown: Mapping[WordSpan, float], likely: Mapping[WordSpan, float]) -> float:
    """From the probabilities of the spans that are shown, and of all that are possible.

    All that is shown must be right, and where nothing is shown nothing may be. What overlaps a shown span is out with
    it; of hidden spans that overlap each other at most one is there, so that their probabilities add up."""
    right = 1.0
    for probability in shown.values():
        right *= probability
    taken = {word for span in shown for word in range(span.first, span.last + 1)}
    hidden = sorted(span for span in likely if taken.isdisjoint(range(span.first, span.last + 1)))
    end, missing = -1, 0.0
    for span in hidden:
        if span.first > end:
            right *= 1 - min(1.0, missing)
            missing = 0.0
        missing += likely[span]
        end = max(end, span.last)
    right *= 1 - min(1.0, missing)
    return max(right, LEAST_RIGHT)
