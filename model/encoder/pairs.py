"""Features of a pair of texts: what the two segments share and where they differ.

An encoder that was trained on single sentences says little about a pair that it reads as one sequence: the meeting of
the two has to be in the features for a linear head to see it (InferSent's |a-b| and a*b, Conneau et al. 2017).
"""

from __future__ import annotations

import numpy as np

from model.numerics.arrays import Floats, normalise
from model.spec import Text

INTERACTION_LAYERS = 2
"""Layers given over to the interactions; the last layers keep the pair read as one sequence."""


def two_segments(text: Text) -> tuple[str, str]:
    """A text of two or more segments as the first one and the others."""
    return text[0], "\n".join(text[1:])


def interact(joint: Floats, first: Floats, second: Floats) -> Floats:
    """Features [n, depth, width] of pairs, from those of the pair as one sequence and of each segment alone.

    In place of the earliest layers: |a-b| and a*b of the unit vectors of the segments' last layers, scaled to the
    size of unit vectors. The last layer is kept, which cold start and label names are compared with; so is everything
    when there is no other layer.
    """
    places = min(INTERACTION_LAYERS, joint.shape[1] - 1)
    a, b = normalise(first[:, -1]), normalise(second[:, -1])
    meeting = [a * b * np.sqrt(joint.shape[-1]), np.abs(a - b)]
    result = joint.copy()
    for layer, values in enumerate(meeting[:places]):
        result[:, layer] = values
    return result
